//! Stress: what else could have happened on the same recording. Each variant is made from a scenario and its streams by rule,
//! without randomness, so that a stressed case can be repeated like any other.
//!
//! | name | what changes |
//! |---|---|
//! | `latency_x3` | order and report latencies of every venue, three times as long |
//! | `fees_up` | taker and maker fees of every venue, 1.5 times as high; a rebate shrinks by the same factor |
//! | `fx_shock` | two cases: from a third of the window on the exchange rate is 100 bps higher, and lower |
//! | `outage` | one venue's feed is cut three times for a fiftieth of the window; messages are lost, a snapshot ends it |

use serde::{Deserialize, Serialize};

use crate::config::{Latency, Scenario};

/// One variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Stress {
    /// Orders and reports take longer.
    Latency {
        /// How many times as long.
        #[serde(default = "latency_factor")]
        factor: f64,
    },
    /// Trading costs more.
    FeesUp {
        /// How many times as much.
        #[serde(default = "fee_factor")]
        factor: f64,
    },
    /// The exchange rate is another from a third of the window on.
    FxShock {
        /// By how much, in bps of the rate; negative for a lower one.
        bps: f64,
    },
    /// A venue's feed goes down and comes back.
    Outage {
        /// Which venue; that of the first route's first leg when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        venue: Option<String>,
        /// How often, evenly spread over the window.
        #[serde(default = "outage_count")]
        count: u32,
        /// How long each time, as a share of the window.
        #[serde(default = "outage_share")]
        share: f64,
    },
}

fn latency_factor() -> f64 {
    3.0
}

fn fee_factor() -> f64 {
    1.5
}

fn outage_count() -> u32 {
    3
}

fn outage_share() -> f64 {
    0.02
}

/// What may stand in `stress`, for messages.
const ALLOWED: &str = "`latency_xN`, `fees_up`, `fx_shock`, `outage`, or a table such as `{ kind = \"latency\", factor = 5 }`, \
                       `{ kind = \"fees_up\", factor = 2 }`, `{ kind = \"fx_shock\", bps = -200 }`, \
                       `{ kind = \"outage\", venue = \"upbit\", count = 3, share = 0.02 }`";

/// The shock of the plain word, in bps.
const FX_SHOCK_BPS: f64 = 100.0;

impl Stress {
    /// The variants that an entry of `stress` stands for.
    ///
    /// # Errors
    /// What is wrong and what is allowed.
    pub fn from_entry(entry: &toml::Value) -> Result<Vec<Stress>, String> {
        let found = match entry {
            toml::Value::String(word) => match word.as_str() {
                "fees_up" => vec![Stress::FeesUp { factor: fee_factor() }],
                "fx_shock" => vec![
                    Stress::FxShock { bps: FX_SHOCK_BPS },
                    Stress::FxShock { bps: -FX_SHOCK_BPS },
                ],
                "outage" => vec![Stress::Outage {
                    venue: None,
                    count: outage_count(),
                    share: outage_share(),
                }],
                other => {
                    let factor = other.strip_prefix("latency_x").and_then(|text| text.parse().ok());
                    match factor {
                        Some(factor) => vec![Stress::Latency { factor }],
                        None => return Err(format!("`{other}` is no stress; allowed: {ALLOWED}")),
                    }
                }
            },
            toml::Value::Table(table) => {
                let stress: Stress = table.clone().try_into().map_err(|error: toml::de::Error| {
                    format!("{}; allowed: {ALLOWED}", error.to_string().trim_end())
                })?;
                vec![stress]
            }
            _ => return Err(format!("must be a word or a table: {ALLOWED}")),
        };
        for stress in &found {
            stress.check()?;
        }
        Ok(found)
    }

    fn check(&self) -> Result<(), String> {
        let times = |factor: f64| (1.0..=1000.0).contains(&factor);
        match self {
            Stress::Latency { factor } | Stress::FeesUp { factor } if !times(*factor) => {
                Err("`factor`: 1 to 1000 is allowed".to_owned())
            }
            Stress::FxShock { bps } if !(1.0..=5000.0).contains(&bps.abs()) => {
                Err("`bps`: 1 to 5000, or -5000 to -1, is allowed".to_owned())
            }
            Stress::Outage { count, .. } if !(1..=1000).contains(count) => {
                Err("`count`: 1 to 1000 is allowed".to_owned())
            }
            Stress::Outage { count, share, .. } if !(*share > 0.0 && *share * f64::from(*count) <= 0.5) => {
                Err("`share`: more than 0, and with `count` times it at most half of the window".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// What the case is called, after the scenario's name and a `+`.
    pub fn label(&self) -> String {
        match self {
            Stress::Latency { factor } => format!("latency_x{factor}"),
            Stress::FeesUp { factor } if *factor == fee_factor() => "fees_up".to_owned(),
            Stress::FeesUp { factor } => format!("fees_up_x{factor}"),
            Stress::FxShock { bps } => format!("fx_shock_{}{}bps", if *bps > 0.0 { "up" } else { "down" }, bps.abs()),
            Stress::Outage { venue, count, share } => {
                let mut label = "outage".to_owned();
                if let Some(venue) = venue {
                    label = format!("{label}_{venue}");
                }
                if (*count, *share) != (outage_count(), outage_share()) {
                    label = format!("{label}_{count}x{share}");
                }
                label
            }
        }
    }

    /// Changes the scenario, for variants that are a matter of rules. The others change streams.
    pub fn change(&self, scenario: &mut Scenario) {
        match *self {
            Stress::Latency { factor } => {
                for venue in scenario.venues.values_mut() {
                    venue.order_latency = slower(venue.order_latency, factor);
                    venue.report_latency = slower(venue.report_latency, factor);
                }
            }
            Stress::FeesUp { factor } => {
                for venue in scenario.venues.values_mut() {
                    venue.taker_fee_bps = dearer(venue.taker_fee_bps, factor);
                    venue.maker_fee_bps = venue.maker_fee_bps.map(|fee| dearer(fee, factor));
                }
            }
            Stress::FxShock { .. } | Stress::Outage { .. } => {}
        }
    }

    /// Whether the streams are others than those of the scenario.
    pub fn changes_data(&self) -> bool {
        matches!(self, Stress::FxShock { .. } | Stress::Outage { .. })
    }
}

fn slower(latency: Latency, factor: f64) -> Latency {
    match latency {
        Latency::Constant { ms } => Latency::Constant { ms: ms * factor },
        Latency::Lognormal { median_ms, sigma } => Latency::Lognormal {
            median_ms: median_ms * factor,
            sigma,
        },
        Latency::Recorded { multiple } => Latency::Recorded {
            multiple: multiple * factor,
        },
    }
}

fn dearer(fee_bps: f64, factor: f64) -> f64 {
    if fee_bps >= 0.0 {
        fee_bps * factor
    } else {
        fee_bps / factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Result<Vec<Stress>, String> {
        let table: toml::Table = toml::from_str(&format!("v = {text}")).unwrap();
        Stress::from_entry(&table["v"])
    }

    #[test]
    fn words_and_tables_name_variants() {
        let cases = [
            ("\"latency_x3\"", "latency_x3"),
            ("\"latency_x2.5\"", "latency_x2.5"),
            ("{ kind = \"latency\", factor = 5 }", "latency_x5"),
            ("\"fees_up\"", "fees_up"),
            ("{ kind = \"fees_up\", factor = 2.0 }", "fees_up_x2"),
            ("\"fx_shock\"", "fx_shock_up100bps fx_shock_down100bps"),
            ("{ kind = \"fx_shock\", bps = -200 }", "fx_shock_down200bps"),
            ("\"outage\"", "outage"),
            ("{ kind = \"outage\", venue = \"upbit\" }", "outage_upbit"),
            ("{ kind = \"outage\", count = 1, share = 0.1 }", "outage_1x0.1"),
        ];
        for (text, want) in cases {
            let labels: Vec<String> = entry(text).unwrap().iter().map(Stress::label).collect();
            assert_eq!(labels.join(" "), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_stress_is_refused() {
        let cases = [
            ("\"lightning\"", "`lightning` is no stress"),
            ("\"latency_xx\"", "no stress"),
            ("\"latency_x0.5\"", "1 to 1000"),
            ("\"latency_xNaN\"", "1 to 1000"),
            ("7", "a word or a table"),
            ("{ kind = \"fx_shock\" }", "bps"),
            ("{ kind = \"fx_shock\", bps = 0 }", "1 to 5000"),
            ("{ kind = \"outage\", share = 0.3 }", "half of the window"),
            ("{ kind = \"outage\", share = -0.3 }", "half of the window"),
            ("{ kind = \"outage\", count = 0 }", "1 to 1000"),
            ("{ kind = \"outage\", venu = \"upbit\" }", "venu"),
            ("{ kind = \"rain\" }", "rain"),
        ];
        for (text, part) in cases {
            let error = entry(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn rebates_shrink_when_fees_rise() {
        assert_eq!(dearer(10.0, 1.5), 15.0);
        assert_eq!(dearer(0.0, 1.5), 0.0);
        assert_eq!(dearer(-3.0, 1.5), -2.0);
    }
}
