//! The venue files that are shipped say what the defaults are, key by key.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

/// Dotted names of all keys of a table.
fn keys(table: &toml::Table, before: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in table {
        let name = format!("{before}{key}");
        match value {
            toml::Value::Table(inner) => found.extend(keys(inner, &format!("{name}."))),
            _ => {
                found.insert(name);
            }
        }
    }
    found
}

#[test]
fn shipped_venue_files_have_every_key_with_its_default() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/venues");
    let mut shipped = BTreeSet::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        shipped.insert(name);
    }
    assert_eq!(
        shipped.into_iter().collect::<Vec<_>>(),
        ["binance-usdm.toml", "binance.toml", "upbit.toml"]
    );
    for (name, protocol) in [
        ("upbit", "upbit"),
        ("binance", "binance-spot"),
        ("binance-usdm", "binance-usdm"),
    ] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
        let told: VenueConfig = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let least: VenueConfig = toml::from_str(&format!("name = '{name}'\nprotocol = '{protocol}'")).unwrap();
        let defaults = VenueConfig {
            rest_url: Some(least.rest_base().to_owned()),
            ws_url: Some(least.ws_base().to_owned()),
            streams: Some(least.streams().to_vec()),
            ..least.clone()
        };
        assert_eq!(told, defaults, "{name}");
        // Those that have no value by default stand there as comments, with one that is taken.
        let optional = ["levels", "first_data"];
        let all = VenueConfig {
            levels: Some(1),
            first_data: Some(Vec::new()),
            ..defaults
        };
        let mut wanted = keys(&toml::Table::try_from(&all).unwrap(), "");
        for key in optional {
            assert!(wanted.remove(key), "{key} is no key");
            assert!(text.contains(&format!("# {key} = ")), "{name}: {key}");
        }
        let active: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(keys(&active, ""), wanted, "{name}");
        let uncommented = optional.iter().fold(text.clone(), |text, key| {
            text.replace(&format!("# {key} = "), &format!("{key} = "))
        });
        let set: VenueConfig = toml::from_str(&uncommented).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(set.levels.is_some() && set.first_data.is_some());
        // Each key has a comment above it.
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2) {
            let key = pair[1].trim_start_matches("# ");
            let is_key = key
                .split_once(" = ")
                .is_some_and(|(word, _)| word.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
            if is_key {
                assert!(pair[0].starts_with("# "), "{name}: {key} says nothing of itself");
            }
        }
    }
}

#[test]
fn f70_a_key_that_is_unknown_is_refused() {
    for text in [
        "name = 'a'\nprotocol = 'upbit'\nrest = { pol_ms = 1 }",
        "name = 'a'\nprotocol = 'upbit'\nurl = 'x'",
        "name = 'a'\nprotocol = 'bithumb'",
        "protocol = 'upbit'",
    ] {
        assert!(toml::from_str::<VenueConfig>(text).is_err(), "{text}");
    }
}
