//! `--set path.to.key=value`: changes one value of a parsed file before it is typed.

use toml::{Table, Value};

use super::ConfigError;

/// Applies one override. The value is TOML (`15`, `true`, `"text"`, `{ model = "zero" }`); a word that is not is taken as
/// text. Numbers in the path index lists (`routes.0.a=…`). Missing tables on the way are made, so that optional keys can be
/// set; a key that the file's type does not know is refused when the whole is typed.
pub(crate) fn apply(table: &mut Table, set: &str) -> Result<(), ConfigError> {
    let fail = |message: &str| ConfigError::Set {
        text: set.to_owned(),
        message: message.to_owned(),
    };
    let (path, value) = set
        .split_once('=')
        .ok_or_else(|| fail("`path.to.key=value` is expected"))?;
    let keys = split(path.trim()).ok_or_else(|| fail("the path has an empty key or an open quote"))?;
    let value = parse_value(value.trim());
    let (last, way) = keys.split_last().ok_or_else(|| fail("the path is empty"))?;
    let mut place = table;
    let mut way = way.iter();
    while let Some(key) = way.next() {
        let next = place.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
        place = match next {
            Value::Table(table) => table,
            Value::Array(items) => {
                let index = way.next().and_then(|index| index.parse::<usize>().ok());
                let length = items.len();
                match index.and_then(|index| items.get_mut(index)) {
                    Some(Value::Table(table)) => table,
                    _ => {
                        return Err(fail(&format!(
                            "`{key}` is a list of {length}: its number from 0 must follow"
                        )));
                    }
                }
            }
            _ => return Err(fail(&format!("`{key}` is a value, not a table"))),
        };
    }
    place.insert(last.clone(), value);
    Ok(())
}

fn parse_value(text: &str) -> Value {
    let line = format!("v = {text}");
    let parsed: Option<Table> = toml::from_str(&line).ok();
    match parsed.and_then(|mut table| table.remove("v")) {
        // Instants stand as text in our files.
        None | Some(Value::Datetime(_)) => Value::String(text.to_owned()),
        Some(value) => value,
    }
}

/// Splits at dots outside quotes: `instruments."upbit:KRW-BTC".lot`.
pub(crate) fn split(path: &str) -> Option<Vec<String>> {
    let mut keys = vec![String::new()];
    let mut quoted = false;
    for c in path.chars() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => keys.push(String::new()),
            c => keys.last_mut()?.push(c),
        }
    }
    (!quoted && keys.iter().all(|key| !key.is_empty())).then_some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_reach_into_tables_lists_and_quoted_keys() {
        let text = "a = { b = 1 }\n[[routes]]\na = \"x\"\n";
        let cases = [
            ("a.b=2", Ok("a.b = 2")),
            ("a.c.d=true", Ok("a.c.d = true")),
            ("routes.0.a=y", Ok("routes.0.a = \"y\"")),
            ("instruments.\"upbit:KRW-BTC\".lot=\"0.1\"", Ok("lot = \"0.1\"")),
            ("a.b", Err("expected")),
            ("a..b=1", Err("empty key")),
            ("a.b.c=1", Err("a value, not a table")),
            ("routes.7.a=y", Err("a list of 1")),
            ("routes.a=y", Err("a list of 1")),
        ];
        for (set, want) in cases {
            let mut table: Table = toml::from_str(text).unwrap();
            let got = apply(&mut table, set);
            match want {
                Ok(_) => assert!(got.is_ok(), "{set}: {got:?}"),
                Err(part) => assert!(got.unwrap_err().to_string().contains(part), "{set}"),
            }
        }
    }

    #[test]
    fn values_are_toml_or_else_text() {
        assert_eq!(parse_value("15"), Value::Integer(15));
        assert_eq!(parse_value("1.5"), Value::Float(1.5));
        assert_eq!(parse_value("walk"), Value::String("walk".into()));
        let instant = "2024-08-24T22:28:00Z";
        assert_eq!(parse_value(instant), Value::String(instant.into()));
        assert!(matches!(parse_value("{ model = \"zero\" }"), Value::Table(_)));
    }
}
