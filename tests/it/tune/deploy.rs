//! The manifests in `config/deploy/`: no cluster is at hand, so their shape is checked, and that the commands in them are
//! commands of this program.

use std::process::Command;

use super::super::lab;

#[test]
fn the_manifests_are_well_formed_and_name_flags_that_there_are() {
    let text = std::fs::read_to_string(lab::repository().join("config/deploy/tuning.yaml")).unwrap();
    assert!(!text.contains('\t'), "YAML has no tabs");
    let mut kinds = Vec::new();
    for document in text.split("\n---\n") {
        let value = |key: &str| {
            let line = document.lines().find_map(|line| line.strip_prefix(&format!("{key}: ")));
            line.unwrap_or_else(|| panic!("{key} is missing in:\n{document}"))
        };
        assert!(["v1", "apps/v1", "batch/v1"].contains(&value("apiVersion")));
        kinds.push(value("kind"));
        let name = document.lines().skip_while(|line| *line != "metadata:").nth(1).unwrap();
        assert!(name.starts_with("  name: crossbook-"), "{name}");
        for line in document.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let indent = line.len() - line.trim_start().len();
            assert_eq!(indent % 2, 0, "{line:?}");
            for (open, close) in [('{', '}'), ('[', ']')] {
                let count = |c| line.matches(c).count();
                // The shell's test brackets balance, too.
                assert_eq!(count(open), count(close), "{line:?}");
            }
            assert_eq!(line.matches('"').count() % 2, 0, "{line:?}");
        }
    }
    assert_eq!(kinds, ["Service", "Deployment", "ConfigMap", "Job", "Job"]);
    for (command, least) in [("tune", 5), ("worker", 4)] {
        let help = lab::told(lab::repository(), &[command, "--help"]).out;
        let lines = text.lines().filter(|line| {
            line.contains(&format!("crossbook {command} ")) || line.contains(&format!("[\"{command}\""))
        });
        let flags: Vec<&str> = lines
            .filter(|line| !line.starts_with('#'))
            .flat_map(|line| line.split([' ', '"', ',']))
            .filter(|word| word.starts_with("--"))
            .collect();
        assert!(flags.len() >= least, "{command}: {flags:?}");
        for flag in flags {
            assert!(
                help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")),
                "crossbook {command} {flag}"
            );
        }
    }
}

/// Against the published schemas of Kubernetes, nothing unknown allowed; they come with a Python package.
#[test]
fn the_manifests_are_valid_by_the_schemas_of_kubernetes() {
    let python = std::env::var("CROSSBOOK_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python)
        .args(["-c", "import kubernetes_validate"])
        .output();
    if !found.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "SKIPPED the_manifests_are_valid_by_the_schemas_of_kubernetes: {python} cannot import kubernetes_validate (CROSSBOOK_PYTHON names another)"
        );
        return;
    }
    let check = "import sys, yaml, kubernetes_validate as k\nfor d in yaml.safe_load_all(open(sys.argv[1])): print(k.validate(d, k.latest_version(), strict=True))";
    let manifests = lab::repository().join("config/deploy/tuning.yaml");
    let output = Command::new(&python)
        .args(["-c", check])
        .arg(manifests)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.lines().count(), 5, "{text}");
}
