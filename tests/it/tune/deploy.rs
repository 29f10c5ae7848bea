//! The manifests in `config/deploy/`: no cluster is at hand, so their shape is checked, and that the commands in them are
//! commands of this program.

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
