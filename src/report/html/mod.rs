//! One HTML page that holds everything: pictures, charts with zoom, tables, configuration. It opens offline: styles,
//! scripts and data stand in the page, and its security policy forbids it to fetch anything.

mod charts;
mod figures;

use std::fmt::Write as _;

use crossbook_engine::units::Amount;

use super::meta::Run;
use super::money::trimmed;
use super::plots::{self, Picture, PlotError, number, utc};
use super::word;
use figures::{Figure, Group, HEADLINES, Mood, duration, percent};

/// Round trips listed in the page; all are in `trades.parquet`.
const MOST_TRIPS: usize = 500;

const CSS: &str = include_str!("page.css");
const JS: &str = include_str!("page.js");
const UPLOT_CSS: &str = include_str!("uplot/uPlot.min.css");
const UPLOT_JS: &str = include_str!("uplot/uPlot.iife.min.js");

/// The report of one run.
///
/// # Errors
/// [`PlotError`] when a picture cannot be drawn.
pub fn report(run: &Run) -> Result<String, PlotError> {
    let mut body = String::new();
    let (headlines, groups) = figures::groups(run);
    head(&mut body, run);
    tiles(&mut body, &headlines);
    result_charts(&mut body, run);
    for picture in [Picture::Attribution, Picture::Histogram] {
        if picture == Picture::Attribution {
            body.push_str("<h2>Where it came from</h2><div class=\"columns\">");
        }
        let _ = write!(
            body,
            "<div class=\"picture\">{}</div>",
            plots::svg(picture, run, &plots::PAGE)?
        );
    }
    body.push_str("</div><h2>Statistics</h2><p class=\"soft\">Each name tells its formula when pointed at.</p><div class=\"columns\">");
    for (heading, figures) in &groups {
        figure_table(&mut body, heading, figures);
    }
    body.push_str("</div><h2>By route, reason and cause</h2><div class=\"columns\">");
    breakdowns(&mut body, run);
    body.push_str("</div>");
    trips(&mut body, run);
    provenance(&mut body, run);
    let title = format!("{} · {}", run.meta.scenario, run.run_id);
    Ok(page(&title, &body, &charts::of_run(run)))
}

/// Several runs side by side.
///
/// # Errors
/// [`PlotError`] when a picture cannot be drawn.
pub fn comparison(runs: &[Run]) -> Result<String, PlotError> {
    let title = format!("{} runs compared", runs.len());
    let mut body = format!(
        "<h1>{title}</h1><p class=\"soft\">Results against holding, as a share of each run's opening equity.</p>"
    );
    body.push_str("<p><button id=\"reset\">whole span</button> <span class=\"soft\">drag to zoom in</span></p>");
    body.push_str("<div class=\"chart\" id=\"chart-gain\"></div><h2>Statistics</h2><div class=\"wide\"><table id=\"compared\"><thead><tr><th></th>");
    for run in runs {
        let _ = write!(body, "<th class=\"n\">{}</th>", escape(&run.run_id));
    }
    body.push_str("</tr></thead><tbody>");
    type Fact = (&'static str, fn(&Run) -> String);
    let facts: [Fact; 5] = [
        ("scenario", |run| run.meta.scenario.clone()),
        ("version", |run| run.meta.version.clone()),
        ("seed", |run| run.meta.seed.to_string()),
        ("window, UTC", window),
        ("digest", |run| run.meta.digest.chars().take(16).collect()),
    ];
    for (name, fact) in facts {
        let cells: Vec<_> = runs.iter().map(|run| (fact(run), Mood::Plain)).collect();
        compared_row(&mut body, name, "", &cells);
    }
    let all: Vec<Vec<Group>> = runs.iter().map(|run| figures::groups(run).1).collect();
    for (at, (heading, figures)) in all.first().into_iter().flatten().enumerate() {
        let _ = write!(body, "<tr><th colspan=\"{}\">{heading}</th></tr>", runs.len() + 1);
        for (row, figure) in figures.iter().enumerate() {
            let cells: Vec<_> = all
                .iter()
                .map(|groups| &groups[at].1[row])
                .map(|figure| (figure.value.clone(), figure.mood))
                .collect();
            compared_row(&mut body, figure.label, figure.formula, &cells);
        }
    }
    body.push_str("</tbody></table></div>");
    Ok(page(&title, &body, &charts::of_runs(runs)))
}

fn compared_row(body: &mut String, label: &str, formula: &str, cells: &[(String, Mood)]) {
    let title = if formula.is_empty() {
        String::new()
    } else {
        format!(" title=\"{}\"", escape(formula))
    };
    let _ = write!(body, "<tr><td{title}>{}</td>", escape(label));
    for (value, mood) in cells {
        let _ = write!(body, "<td class=\"n{}\">{}</td>", mood_class(*mood), escape(value));
    }
    body.push_str("</tr>");
}

/// A whole page around this body; `data` is what the charts read (`{"charts":[]}` without any).
pub(crate) fn page(title: &str, body: &str, data: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'; img-src data:\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{}</title>\n<style>{UPLOT_CSS}</style>\n<style>{CSS}</style>\n</head>\n<body>\n{body}\n\
         <script type=\"application/json\" id=\"data\">{data}</script>\n<script>{UPLOT_JS}</script>\n\
         <script>{JS}</script>\n</body>\n</html>\n",
        escape(title)
    )
}

/// Text that cannot become markup.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

fn mood_class(mood: Mood) -> &'static str {
    match mood {
        Mood::Plain => "",
        Mood::Good => " good",
        Mood::Bad => " bad",
    }
}

fn window(run: &Run) -> String {
    run.meta.window.map_or("no events".to_string(), |window| {
        format!("{} → {}", utc(window.from), utc(window.to))
    })
}

fn head(body: &mut String, run: &Run) {
    let meta = &run.meta;
    let _ = write!(
        body,
        "<h1>{}</h1><p class=\"soft\">run <b>{}</b> · {} UTC · crossbook {} · seed {}</p>\
         <p class=\"soft digest\">digest <code>{}</code></p>",
        escape(&meta.scenario),
        escape(&run.run_id),
        window(run),
        escape(&meta.version),
        meta.seed,
        escape(&meta.digest),
    );
    for warning in &meta.warnings {
        let _ = write!(body, "<div class=\"warning\">{}</div>", escape(warning));
    }
}

fn tiles(body: &mut String, headlines: &[Figure]) {
    body.push_str("<div class=\"tiles\" id=\"headlines\">");
    for figure in headlines.iter().take(HEADLINES) {
        let _ = write!(
            body,
            "<div class=\"tile\" title=\"{}\"><span class=\"soft\">{}</span><b class=\"{}\">{}</b></div>",
            escape(figure.formula),
            escape(figure.label),
            mood_class(figure.mood).trim(),
            escape(&figure.value),
        );
    }
    body.push_str("</div>");
}

fn result_charts(body: &mut String, run: &Run) {
    body.push_str(
        "<h2>Result</h2><p><button id=\"reset\">whole span</button> <span class=\"soft\">drag to zoom in; all charts \
         follow; times are UTC</span></p><noscript><div class=\"warning\">The charts need JavaScript; equity.svg and \
         spread.svg beside this page show the same.</div></noscript>",
    );
    for (id, heading) in [
        ("chart-gain", "Result against holding"),
        ("chart-fall", "Drawdown"),
        ("chart-equity", "Equity and the value of the opening inventory"),
    ] {
        let _ = write!(body, "<h3>{heading}</h3><div class=\"chart\" id=\"{id}\"></div>");
    }
    body.push_str(
        "<h2>Premium</h2><p class=\"soft\">▼ sold A, bought B · ▲ bought A, sold B · ● exit · green earned, red lost</p>",
    );
    for (at, route) in run.meta.routes.iter().enumerate() {
        let count = run
            .rows
            .round_trips
            .iter()
            .filter(|trip| trip.route.index() == at)
            .count();
        let note = match count > charts::MOST_MARKS {
            true => format!(
                " <span class=\"soft\">(the first {} round trips of {count} are marked)</span>",
                charts::MOST_MARKS
            ),
            false => String::new(),
        };
        let _ = write!(
            body,
            "<h3>{}{note}</h3><div class=\"chart\" id=\"chart-spread-{at}\"></div>",
            escape(route)
        );
    }
}

fn figure_table(body: &mut String, heading: &str, figures: &[Figure]) {
    let _ = write!(body, "<div><h3>{heading}</h3><table><tbody>");
    for figure in figures {
        let _ = write!(
            body,
            "<tr><td title=\"{}\">{}</td><td class=\"{}\">{}</td></tr>",
            escape(figure.formula),
            escape(figure.label),
            mood_class(figure.mood).trim(),
            escape(&figure.value),
        );
    }
    body.push_str("</tbody></table></div>");
}

/// A small table with a heading; its first column is words, the others are numbers.
fn small_table(body: &mut String, heading: &str, columns: &[&str], rows: &[Vec<String>]) {
    let _ = write!(body, "<div><h3>{heading}</h3>");
    if rows.is_empty() {
        body.push_str("<p class=\"soft\">none</p></div>");
        return;
    }
    body.push_str("<table><thead><tr>");
    for (at, column) in columns.iter().enumerate() {
        let _ = write!(body, "<th{}>{column}</th>", if at == 0 { "" } else { " class=\"n\"" });
    }
    body.push_str("</tr></thead><tbody>");
    for row in rows {
        body.push_str("<tr>");
        for (at, cell) in row.iter().enumerate() {
            let _ = write!(
                body,
                "<td{}>{}</td>",
                if at == 0 { "" } else { " class=\"n\"" },
                escape(cell)
            );
        }
        body.push_str("</tr>");
    }
    body.push_str("</tbody></table></div>");
}

fn breakdowns(body: &mut String, run: &Run) {
    let s = &run.statistics;
    let share = |part: u64, whole: u64| percent((whole > 0).then(|| part as f64 / whole as f64), 1);
    let routes: Vec<_> = s
        .by_route
        .iter()
        .map(|row| {
            let won = share(row.wins, row.round_trips);
            vec![
                row.route.clone(),
                row.round_trips.to_string(),
                won,
                figures::amount(row.pnl.to_f64()),
            ]
        })
        .collect();
    small_table(body, "Routes", &["route", "round trips", "won", "result"], &routes);
    let exits: Vec<_> = s
        .exits
        .iter()
        .filter(|row| row.count > 0)
        .map(|row| {
            let part = share(row.count, s.round_trips);
            vec![
                word(&row.reason),
                row.count.to_string(),
                part,
                figures::amount(row.pnl.to_f64()),
            ]
        })
        .collect();
    small_table(
        body,
        "Exits by reason",
        &["reason", "round trips", "share", "result"],
        &exits,
    );
    let risk: Vec<_> = s
        .risk
        .iter()
        .map(|row| vec![word(&row.reason), word(&row.verdict), row.count.to_string()])
        .collect();
    small_table(
        body,
        "What risk said",
        &["reason", "verdict", "times it changed to this"],
        &risk,
    );
    let named = |rows: &[super::statistics::NamedCount]| -> Vec<_> {
        rows.iter()
            .map(|row| vec![row.name.clone(), row.count.to_string()])
            .collect()
    };
    small_table(
        body,
        "Orders that venues refused",
        &["reason", "orders"],
        &named(&s.rejects),
    );
    let idle: Vec<_> = s
        .idle
        .iter()
        .map(|row| vec![row.cause.clone(), duration(row.seconds), percent(row.share, 2)])
        .collect();
    small_table(body, "Time without trading", &["cause", "how long", "share"], &idle);
    let counters: Vec<_> = run
        .meta
        .counters
        .iter()
        .map(|(name, count)| vec![name.clone(), number(*count as f64, 0)])
        .collect();
    small_table(body, "Counts", &["what", "how many"], &counters);
    let paid: Vec<_> = s
        .fees_by_currency
        .iter()
        .map(|row| vec![row.currency.clone(), row.amount.text()])
        .collect();
    small_table(body, "Fees as paid", &["currency", "amount"], &paid);
    let traded: Vec<_> = s
        .turnover_by_currency
        .iter()
        .map(|row| vec![row.currency.clone(), row.amount.text()])
        .collect();
    small_table(body, "Turnover as traded", &["currency", "amount"], &traded);
}

fn trips(body: &mut String, run: &Run) {
    let all = &run.rows.round_trips;
    body.push_str("<h2>Round trips</h2>");
    if all.is_empty() {
        body.push_str("<p class=\"soft\" id=\"trips\">no round trips</p>");
        return;
    }
    let shown = all.len().min(MOST_TRIPS);
    let note = match shown == all.len() {
        true => format!("all {shown}"),
        false => format!("the first {shown} of {}; all are in trades.parquet", all.len()),
    };
    let _ = write!(
        body,
        "<p class=\"soft\">{note}; a click on a heading sorts; money in {}</p><div class=\"wide\">\
         <table class=\"sortable\" id=\"trips\"><thead><tr>",
        escape(&run.meta.base_currency)
    );
    for (class, column) in [
        (" class=\"n\"", "#"),
        ("", "entry, UTC"),
        (" class=\"n\"", "held"),
        ("", "route"),
        ("", "direction"),
        (" class=\"n\"", "quantity"),
        (" class=\"n\"", "open, bps"),
        (" class=\"n\"", "close, bps"),
        (" class=\"n\"", "result"),
        (" class=\"n\"", "fees"),
        (" class=\"n\"", "slippage"),
        ("", "left because"),
    ] {
        let _ = write!(body, "<th{class}>{column}</th>");
    }
    body.push_str("</tr></thead><tbody>");
    for (at, trip) in all.iter().take(shown).enumerate() {
        let route = run.meta.routes.get(trip.route.index()).map_or("", String::as_str);
        let held = trip.ts_closed.since(trip.ts_entry);
        let number_cell =
            |value: f64, text: String, class: &str| format!("<td class=\"n{class}\" data-v=\"{value}\">{text}</td>");
        let money = |value: Amount| number_cell(value.to_f64(), figures::amount(value.to_f64()), "");
        let _ = write!(
            body,
            "<tr>{}<td>{}</td>{}<td>{}</td><td>{}</td>{}{}{}{}{}{}<td>{}</td></tr>",
            number_cell(at as f64 + 1.0, (at + 1).to_string(), ""),
            utc(trip.ts_entry),
            number_cell(held as f64, duration(held as f64 / 1e9), ""),
            escape(route),
            word(&trip.direction),
            number_cell(trip.qty.to_f64(), trimmed(&trip.qty.to_string()), ""),
            number_cell(trip.open.to_f64(), number(trip.open.to_f64(), 2), ""),
            number_cell(trip.close.to_f64(), number(trip.close.to_f64(), 2), ""),
            number_cell(
                trip.pnl.to_f64(),
                figures::amount(trip.pnl.to_f64()),
                mood_class(figures::mood(trip.pnl.to_f64()))
            ),
            money(trip.attribution.fees),
            money(trip.attribution.slippage),
            word(&trip.reason),
        );
    }
    body.push_str("</tbody></table></div>");
}

fn provenance(body: &mut String, run: &Run) {
    body.push_str("<h2>What went in</h2>");
    let rows: Vec<_> = run
        .meta
        .inputs
        .iter()
        .map(|input| (input, number(input.messages as f64, 0), number(input.rows as f64, 0)))
        .collect();
    body.push_str(
        "<div class=\"wide\"><table id=\"inputs\"><thead><tr><th>dataset</th><th class=\"n\">messages</th>\
         <th class=\"n\">rows</th><th>hash</th></tr></thead><tbody>",
    );
    for (input, messages, rows) in rows {
        let _ = write!(
            body,
            "<tr><td>{}</td><td class=\"n\">{messages}</td><td class=\"n\">{rows}</td><td><code>{}</code></td></tr>",
            escape(&input.name),
            escape(&input.hash)
        );
    }
    body.push_str("</tbody></table></div>");
    let speed = match run.seconds > 0.0 {
        true => format!(", {} a second", number(run.meta.events as f64 / run.seconds, 0)),
        false => String::new(),
    };
    let _ = write!(
        body,
        "<p class=\"soft\">{} events ({} rows) in {}{speed}</p><details><summary>Configuration</summary><pre>{}</pre></details>",
        number(run.meta.events as f64, 0),
        number(run.meta.rows as f64, 0),
        duration(run.seconds),
        escape(&run.config),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    fn refers_outside(page: &str) -> Option<&str> {
        // What a browser would fetch; addresses in comments and namespaces are only names.
        [
            "src=\"http",
            "href=\"http",
            "url(http",
            "@import",
            "fetch(",
            "XMLHttpRequest",
            "WebSocket",
        ]
        .into_iter()
        .find(|needle| page.contains(needle))
    }

    #[test]
    fn a_report_holds_everything_and_refers_to_nothing_outside() {
        let run = samples::run("kimchi-1", samples::market(48, 4));
        let page = report(&run).unwrap();
        assert_eq!(refers_outside(&page), None);
        assert!(page.contains("default-src 'none'"));
        for needle in [
            "kimchi-sample",
            "kimchi-1",
            &run.meta.digest,
            "upbit:KRW-ETH/binance:ETHUSDT",
            "insufficient_balance",
            "converged",
            "Fees as paid",
            "id=\"chart-spread-1\"",
            "&lt;b&gt;not markup&lt;/b&gt; &amp; so on",
            &run.meta.inputs[1].hash,
        ] {
            assert!(page.contains(needle), "{needle}");
        }
        assert_eq!(page, report(&run).unwrap());
        assert!(page.len() < 2_000_000, "{}", page.len());
    }

    #[test]
    fn names_cannot_become_markup() {
        let mut run = samples::run("evil", samples::market(2, 4));
        run.meta.scenario = "</title><script>alert(1)</script>".to_string();
        run.meta.routes[0] = "</script><img src=x onerror=alert(1)>".to_string();
        run.meta.base_currency = "\"'<b>".to_string();
        run.statistics.by_route[0].route = run.meta.routes[0].clone();
        for page in [report(&run).unwrap(), comparison(&[run.clone(), run]).unwrap()] {
            assert!(
                !page.contains("<script>alert") && !page.contains("<img"),
                "markup got through"
            );
            assert!(!page.contains("</script><img"));
        }
    }

    #[test]
    fn long_runs_are_cut_with_a_note_and_empty_ones_say_so() {
        let (mut rows, meta) = samples::market(72, 4);
        let trip = rows.round_trips[0];
        rows.round_trips.resize(MOST_TRIPS + 1, trip);
        let page = report(&samples::run("long", (rows, meta))).unwrap();
        assert!(page.contains("the first 500 of 501; all are in trades.parquet"));
        let page = report(&samples::run("empty", Default::default())).unwrap();
        assert!(page.contains("no round trips") && page.contains("no events"));
    }
}
