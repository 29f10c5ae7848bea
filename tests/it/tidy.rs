//! Rules of the tree itself: who may name whom, what the pure part must not touch, dead links, machine paths, big files.
//!
//! They work on text: `rustfmt` keeps the sources regular enough, and a rule that reads in a line is worth more than one
//! that parses. What is allowed all the same stands in a table here, with its reason; an entry that allows nothing any
//! more is an error too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Modules of the pure part from left to right: each may name those before it, never one behind it.
const ENGINE_LAYERS: [&str; 16] = [
    "units",
    "rng",
    "instrument",
    "event",
    "order",
    "records",
    "digest",
    "ledger",
    "book",
    "spread",
    "strategy",
    "risk",
    "engine",
    "sim",
    "replay",
    "tape",
];

/// What the pure part may depend on: none of it does I/O, reads a clock or starts a thread.
const ENGINE_DEPENDENCIES: [&str; 4] = ["blake3", "libm", "serde", "thiserror"];

/// What the pure part must not name. (`std::{` because a list could hide one of the others.)
const IMPURE: [&str; 14] = [
    "std::{",
    "std::fs",
    "std::net",
    "std::time",
    "std::thread",
    "std::env",
    "std::process",
    "std::io",
    "println!",
    "HashMap",
    "HashSet",
    "Instant",
    "SystemTime",
    "thread_local!",
];

/// A line that may break a rule: file, a part of the line, and why.
type Allowed = (&'static str, &'static str, &'static str);

/// Lines of the pure part that may name a module which is not left of theirs.
const LAYERS_ALLOWED: [Allowed; 1] = [(
    "crates/engine/src/records.rs",
    "crate::risk::",
    "a record of a refusal holds the two words that risk answered with; it decides nothing",
)];

/// Lines of money modules that may name a float.
const FLOATS_ALLOWED: [Allowed; 5] = [
    (
        "crates/engine/src/sim/config.rs",
        "",
        "latencies are drawn, and a queue model has an exponent",
    ),
    (
        "crates/engine/src/sim/market.rs",
        "report_normal",
        "a latency that was drawn",
    ),
    (
        "crates/engine/src/sim/matching.rs",
        "normal: f64",
        "a latency that was drawn",
    ),
    (
        "crates/engine/src/sim/mod.rs",
        "self.latency.normal()",
        "latencies are drawn",
    ),
    (
        "crates/engine/src/sim/queue.rs",
        "",
        "a share of a queue, rounded to a whole quantity before it is used",
    ),
];

/// Lines that may name a place outside the repository, or carry a mark of unfinished work.
const WORDS_ALLOWED: [Allowed; 1] = [(
    ".ci/run",
    "../shared/data",
    "recordings that may not be shipped lie beside the clone",
)];

/// Lines outside tests that may panic on `None` or `Err`.
const PANICS_ALLOWED: [Allowed; 0] = [];

/// No recording, picture or binary larger than this lives in the repository.
const LARGEST_FILE: u64 = 2 << 20;

struct File {
    /// Relative to the root, with `/`.
    name: String,
    path: PathBuf,
}

impl File {
    fn text(&self) -> String {
        match fs::read(&self.path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => panic!("{}: {error}", self.name),
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files that are, or are about to be, in the repository.
fn files() -> Vec<File> {
    let output = Command::new("git")
        .args([
            "-c",
            "safe.directory=*",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .expect("git runs");
    assert!(
        output.status.success(),
        "these tests list the tree with git: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let names = String::from_utf8(output.stdout).expect("file names are UTF-8");
    let files: Vec<File> = names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(|name| File {
            name: name.to_owned(),
            path: root().join(name),
        })
        .filter(|file| file.path.is_file())
        .collect();
    assert!(files.len() > 20, "only {} files found", files.len());
    files
}

/// The sources under a folder, without those that only tests compile.
fn sources_under(folder: &str) -> Vec<File> {
    let mut found = files();
    found.retain(|file| file.name.starts_with(folder) && file.name.ends_with(".rs"));
    let tests: Vec<String> = found.iter().flat_map(test_modules).collect();
    found.retain(|file| {
        !tests
            .iter()
            .any(|path| file.name == format!("{path}.rs") || file.name.starts_with(&format!("{path}/")))
    });
    assert!(!found.is_empty(), "no sources under {folder}");
    found
}

/// Where the modules are that a file declares for tests only (`#[cfg(test)] mod tests;`), without `.rs`.
fn test_modules(file: &File) -> Vec<String> {
    let text = file.text();
    let folder = file.name.trim_end_matches(".rs");
    let folder = ["/mod", "/lib", "/main"]
        .iter()
        .find_map(|end| folder.strip_suffix(end))
        .unwrap_or(folder);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines
        .windows(2)
        .filter(|pair| pair[0] == "#[cfg(test)]")
        .filter_map(|pair| {
            pair[1]
                .strip_suffix(';')?
                .rsplit_once("mod ")
                .map(|(_, name)| format!("{folder}/{name}"))
        })
        .collect()
}

/// The lines of a source that reach users, with their numbers: no comments, nothing under `#[cfg(test)]`.
fn production(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut source = text.lines().enumerate();
    while let Some((index, line)) = source.next() {
        let code = line.trim_start();
        if code.starts_with("#[cfg(test)]") {
            // The item that follows ends at a closing brace of the same indentation, or is one line.
            let end = format!("{}}}", &line[..line.len() - code.len()]);
            for (_, line) in source.by_ref() {
                if line == end || (line.ends_with(';') && !line.starts_with(&format!("{}    ", &end[..end.len() - 1])))
                {
                    break;
                }
            }
        } else if !code.starts_with("//") {
            let code = line.find(" //").map_or(line, |at| &line[..at]);
            lines.push((index + 1, code.to_owned()));
        }
    }
    lines
}

/// Collects the broken lines, honouring and policing a table of exceptions.
struct Findings {
    allowed: &'static [Allowed],
    used: BTreeSet<usize>,
    broken: Vec<String>,
}

impl Findings {
    fn new(allowed: &'static [Allowed]) -> Findings {
        Findings {
            allowed,
            used: BTreeSet::new(),
            broken: Vec::new(),
        }
    }

    fn add(&mut self, file: &str, line: usize, text: &str, rule: &str) {
        let entry = |&(name, part, _): &Allowed| name == file && text.contains(part);
        match self.allowed.iter().position(entry) {
            Some(index) => {
                self.used.insert(index);
            }
            None => self.broken.push(format!(
                "{file}:{line}: {rule}: {}",
                text.trim().chars().take(160).collect::<String>()
            )),
        }
    }

    fn finish(mut self) {
        for (index, (file, part, _)) in self.allowed.iter().enumerate() {
            if !self.used.contains(&index) {
                self.broken
                    .push(format!("{file}: the exception for {part:?} is no longer needed"));
            }
        }
        assert!(self.broken.is_empty(), "\n{}", self.broken.join("\n"));
    }
}

/// Whether `word` stands in `code` as a word of its own.
fn names(code: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(part_of_word) && (word.ends_with(['!', '{']) || !after.is_some_and(part_of_word))
    })
}

#[test]
fn production_leaves_out_comments_and_tests() {
    let text = "use a;\n// note\n#[cfg(test)]\nmod tests;\nfn f() {} // why\n#[cfg(test)]\nmod more {\n    use b;\n}\nfn g() {}\n";
    let kept: Vec<_> = production(text)
        .into_iter()
        .map(|(line, code)| format!("{line} {code}"))
        .collect();
    assert_eq!(kept, ["1 use a;", "5 fn f() {}", "10 fn g() {}"]);
    assert!(names("x: f64,", "f64") && !names("as_f64()", "f64"));
}

#[test]
fn engine_modules_name_only_what_is_left_of_them() {
    let folder = "crates/engine/src/";
    let rank = |module: &str| ENGINE_LAYERS.iter().position(|&layer| layer == module);
    let mut findings = Findings::new(&LAYERS_ALLOWED);
    for file in sources_under(folder) {
        let inside = &file.name[folder.len()..];
        let module = inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let Some(own) = rank(module) else {
            findings.add(&file.name, 1, module, "a module without a place in ENGINE_LAYERS");
            continue;
        };
        for (line, code) in production(&file.text()) {
            for (at, _) in code.match_indices("crate::") {
                let named = &code[at + "crate::".len()..];
                let named = named
                    .split(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .next()
                    .unwrap_or("");
                let back = rank(named).is_none_or(|other| other > own);
                if back {
                    findings.add(&file.name, line, &code, "names a module that is not left of it");
                }
            }
        }
    }
    findings.finish();
}

#[test]
fn engine_depends_on_nothing_that_reaches_outside() {
    let manifest = fs::read_to_string(root().join("crates/engine/Cargo.toml")).expect("the manifest is readable");
    let manifest: toml::Table = toml::from_str(&manifest).expect("the manifest is TOML");
    let dependencies = manifest["dependencies"].as_table().expect("dependencies are a table");
    for name in dependencies.keys() {
        assert!(
            ENGINE_DEPENDENCIES.contains(&name.as_str()),
            "crates/engine depends on {name}"
        );
    }
    assert!(!manifest.contains_key("build-dependencies") && !manifest.contains_key("target"));
}

#[test]
fn engine_is_pure() {
    let mut findings = Findings::new(&[]);
    for file in sources_under("crates/engine/src/") {
        for (line, code) in production(&file.text()) {
            for word in IMPURE {
                if names(&code, word) {
                    findings.add(&file.name, line, &code, word);
                }
            }
        }
    }
    findings.finish();
}

/// What makes events of inputs must do so again from a journal: no socket, no clock, no task in it.
#[test]
fn what_follows_an_input_is_a_function_of_the_inputs() {
    let mut findings = Findings::new(&[]);
    for folder in [
        "crates/feed/src/wire/",
        "crates/feed/src/book/",
        "crates/feed/src/live/pipeline.rs",
    ] {
        for file in sources_under(folder) {
            for (line, code) in production(&file.text()) {
                for word in [
                    "tokio",
                    "Clock",
                    "Instant",
                    "SystemTime",
                    "std::fs",
                    "std::net",
                    "std::thread",
                ] {
                    if names(&code, word) {
                        findings.add(&file.name, line, &code, word);
                    }
                }
            }
        }
    }
    findings.finish();
}

/// What both got wrong in the same way would go unseen.
#[test]
fn the_exchange_shares_no_code_with_the_adapters_that_are_tested_against_it() {
    let manifest = fs::read_to_string(root().join("crates/simex/Cargo.toml")).expect("the manifest is readable");
    assert!(!manifest.contains("crossbook-feed"));
}

#[test]
fn no_float_holds_money() {
    let mut findings = Findings::new(&FLOATS_ALLOWED);
    let money = ["order", "book", "sim", "ledger"];
    for file in sources_under("crates/engine/src/") {
        let inside = &file.name["crates/engine/src/".len()..];
        let module = inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs");
        if !money.contains(&module) {
            continue;
        }
        for (line, code) in production(&file.text()) {
            if names(&code, "f64") || names(&code, "f32") {
                findings.add(&file.name, line, &code, "a float in a money module");
            }
        }
    }
    findings.finish();
}

#[test]
fn nothing_panics_on_what_comes_from_outside() {
    let mut findings = Findings::new(&PANICS_ALLOWED);
    for folder in [
        "src/",
        "crates/engine/src/",
        "crates/feed/src/",
        "crates/simex/src/",
        "crates/tuner/src/",
    ] {
        for file in sources_under(folder) {
            for (line, code) in production(&file.text()) {
                for call in [
                    ".unwrap()",
                    ".expect(",
                    ".unwrap_err()",
                    "todo!(",
                    "unimplemented!(",
                    "dbg!(",
                ] {
                    if code.contains(call) {
                        findings.add(&file.name, line, &code, call);
                    }
                }
            }
        }
    }
    findings.finish();
}

#[test]
fn no_file_names_a_place_on_one_machine_or_is_left_half_done() {
    let places = ["/work/", "/home/", "/Users/", "/root/", "C:\\Users", "../shared"];
    let marks = ["TODO", "FIXME", "XXX", "HACK"];
    let mut findings = Findings::new(&WORDS_ALLOWED);
    for file in files()
        .iter()
        .filter(|file| file.name != "tests/it/tidy.rs" && is_text(&file.name))
    {
        for (index, line) in file.text().lines().enumerate() {
            if places.iter().any(|place| line.contains(place)) {
                findings.add(&file.name, index + 1, line, "a path of one machine");
            }
            if marks.iter().any(|mark| names(line, mark)) {
                findings.add(&file.name, index + 1, line, "unfinished work");
            }
        }
    }
    findings.finish();
}

fn is_text(name: &str) -> bool {
    let ends = [
        ".rs", ".toml", ".md", ".lock", ".sh", ".py", ".js", ".css", ".html", ".yml", ".yaml", ".csv", ".ipynb",
    ];
    ends.iter().any(|end| name.ends_with(end))
        || !name.rsplit('/').next().unwrap_or(name).contains('.')
        || name.starts_with(".ci/")
}

#[test]
fn no_large_file_is_in_the_repository() {
    for file in files() {
        let size = fs::metadata(&file.path).map_or(0, |data| data.len());
        assert!(
            size <= LARGEST_FILE,
            "{} has {size} bytes, at most {LARGEST_FILE} are allowed",
            file.name
        );
    }
}

/// Targets of the inline links of a page, outside fenced code, with their line numbers.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for (at, _) in line.match_indices("](") {
            let rest = &line[at + 2..];
            if let Some(end) = rest.find(')') {
                found.push((index + 1, rest[..end].to_owned()));
            }
        }
    }
    found
}

/// The heading's anchor as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut dead = Vec::new();
    for file in files().iter().filter(|file| file.name.ends_with(".md")) {
        let folder = file.path.parent().unwrap_or(root());
        for (line, target) in links(&file.text()) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, fragment) = target.split_once('#').unwrap_or((&target, ""));
            let page = if path.is_empty() {
                file.path.clone()
            } else {
                folder.join(path)
            };
            if !page.exists() {
                dead.push(format!("{}:{line}: {target}", file.name));
            } else if !fragment.is_empty() && page.extension().is_some_and(|end| end == "md") {
                let text = fs::read_to_string(&page).unwrap_or_default();
                let headings = text.lines().filter(|line| line.starts_with('#'));
                if !headings
                    .map(|line| anchor(line.trim_start_matches('#')))
                    .any(|name| name == fragment)
                {
                    dead.push(format!("{}:{line}: no heading for {target}", file.name));
                }
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

#[test]
fn every_page_of_the_docs_can_be_found() {
    let map = ["README.md", "docs/architecture.md"];
    let linked: BTreeSet<PathBuf> = map
        .iter()
        .flat_map(|name| {
            let page = root().join(name);
            let text = fs::read_to_string(&page).unwrap_or_default();
            let folder = page.parent().unwrap_or(root()).to_owned();
            links(&text)
                .into_iter()
                .map(move |(_, target)| folder.join(target.split('#').next().unwrap_or("")))
        })
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    for file in files()
        .iter()
        .filter(|file| file.name.starts_with("docs/") && file.name.ends_with(".md"))
    {
        let path = file.path.canonicalize().unwrap_or_else(|_| file.path.clone());
        let is_map = map.contains(&file.name.as_str());
        assert!(
            is_map || linked.contains(&path),
            "no link to {} in {}",
            file.name,
            map.join(" or ")
        );
    }
}

#[test]
fn every_scenario_is_accepted() {
    for file in files()
        .iter()
        .filter(|file| file.name.starts_with("scenarios/") && file.name.ends_with(".toml"))
    {
        if let Err(error) = crossbook::config::load(&file.path, &[]) {
            panic!("{error}");
        }
    }
}

#[test]
fn every_test_named_in_the_reliability_page_exists() {
    let page = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let sources: String = files()
        .iter()
        .filter(|file| file.name.ends_with(".rs"))
        .map(|file| fs::read_to_string(&file.path).unwrap())
        .collect();
    // Names of tests are the only words in code quotes that have so many parts.
    let named =
        page.split('`').skip(1).step_by(2).filter(|name| {
            name.matches('_').count() >= 3 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        });
    let mut count = 0;
    for name in named {
        count += 1;
        assert!(
            sources.contains(&format!("fn {name}(")),
            "docs/reliability.md names no test: {name}"
        );
    }
    assert!(count > 60, "{count} tests are named");
}
