//! What a validation says, in the words and figures that tables, pictures and the report show.

use super::read::influences;
use super::{Results, Verdict};
use crate::report::plots::number;
use crate::tune::validation::{Among, FoldReport, Overfitting, Report};

impl Results {
    /// The results with what was found of their worth.
    pub fn judged(mut self, report: &Report) -> Results {
        if let Some(importance) = &report.importance {
            (self.importance, self.explained) = (influences(importance), importance.explained);
        }
        self.verdict = Some(self.verdict_of(report));
        self
    }

    fn verdict_of(&self, report: &Report) -> Verdict {
        let last = report.judged();
        let luck = last.and_then(|fold| fold.luck.as_ref());
        let mut figures: Vec<(String, String, Option<bool>)> = report
            .gates
            .iter()
            .map(|gate| (gate.label().to_owned(), gate.demand(), Some(gate.passed)))
            .collect();
        figures.extend(self.more(report, last));
        Verdict {
            sentence: report.sentence(),
            passed: report.winner.map(|_| report.accepted),
            winner: report.winner,
            deflated_sharpe: luck.and_then(|luck| luck.deflated_sharpe),
            pbo: last.and_then(|fold| Some(fold.overfitting.as_ref()?.pbo)),
            plateau: last.and_then(|fold| Some(fold.plateau?.score)),
            figures,
            logits: last
                .and_then(|fold| fold.overfitting.as_ref())
                .map_or(Vec::new(), Overfitting::logits),
            joined: report.walk.as_ref().map_or(Vec::new(), |walk| walk.periods.clone()),
        }
    }

    /// Figures that are no gates.
    fn more(&self, report: &Report, last: Option<&FoldReport>) -> Vec<(String, String, Option<bool>)> {
        let mut figures = Vec::new();
        let mut add = |name: &str, value: Option<String>| {
            figures.extend(value.map(|value| (name.to_owned(), value, None)));
        };
        let ratio = |value: f64| format!("{value:.3}");
        let luck = last.and_then(|fold| fold.luck.as_ref());
        let winner = last.and_then(|fold| fold.winner.as_ref());
        add(
            "Sharpe ratio of the periods, in sample",
            winner
                .and_then(|winner| winner.sharpe)
                .map(|sharpe| ratio(sharpe.ratio)),
        );
        add(
            "the same out of sample",
            winner
                .and_then(|winner| winner.test_sharpe)
                .map(|sharpe| ratio(sharpe.ratio)),
        );
        add(
            "expected of the best of so many worthless trials",
            luck.map(|luck| format!("{} (of {})", ratio(luck.expected_best), luck.trials)),
        );
        add(
            "independent trials",
            luck.and_then(|luck| luck.independent.as_ref())
                .map(|trials| format!("{:.1} of {}", trials.effective, trials.trials)),
        );
        let overfitting = last.and_then(|fold| fold.overfitting.as_ref());
        add(
            "cross-validated among",
            overfitting.map(|overfitting| {
                let among = match overfitting.among {
                    Among::Trials => "trials of the session",
                    Among::Reference => "points drawn from the space",
                };
                format!("{} {among}, {} splits", overfitting.trials, overfitting.splits)
            }),
        );
        add(
            "chance of a loss out of sample, over the splits",
            overfitting.map(|overfitting| ratio(overfitting.loss)),
        );
        let superiority = last.and_then(|fold| fold.superiority.as_ref());
        add(
            "reality check (White), p",
            superiority.map(|found| ratio(found.reality_check)),
        );
        add(
            "superior predictive ability (Hansen), p",
            superiority.map(|found| ratio(found.superior)),
        );
        add(
            "periods needed to tell from luck",
            winner
                .and_then(|winner| winner.min_track_record)
                .map(|periods| number(periods.ceil(), 0)),
        );
        let walk = report.walk.as_ref();
        add(
            "joined result out of sample",
            walk.map(|walk| {
                let money = number(walk.pnl_vs_hold, 2);
                format!("{money} {} in {} round trips", self.currency, walk.round_trips)
            }),
        );
        add(
            "confidence that it is above zero",
            walk.and_then(|walk| walk.probabilistic_sharpe).map(ratio),
        );
        figures
    }
}
