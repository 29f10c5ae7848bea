//! Samplers against the medians of published ones on the same problems (Optuna 5.0, default settings, 100 trials).

mod problems;

use crossbook_tuner::sampler::SamplerConfig;

/// Medians of 20 seeds; the regret may be `slack` times the other's.
fn compare(name: &str, theirs: [f64; 7], slack: f64) {
    let sampler = SamplerConfig::by_name(name).unwrap();
    for (problem, theirs) in problems::seven().iter().zip(theirs) {
        let ours = problem.median_regret(&sampler, 20, 100, 1).unwrap();
        assert!(
            ours <= slack * theirs,
            "{name} on {}: {ours} against {theirs}",
            problem.name
        );
    }
}

#[test]
fn tpe_is_no_worse_than_optunas_multivariate_one() {
    compare("tpe", [0.0186, 0.0238, 0.116, 6.7, 130.0, 0.645, 71.1], 1.25);
}

/// A hundred trials are a dozen generations: medians of 20 differ by a third between sets of seeds.
#[test]
fn cmaes_is_of_optunas_class() {
    compare("cmaes", [0.0133, 0.0927, 0.245, 7.91, 120.0, 0.611, 92.3], 2.0);
}

/// On problems that no setting was chosen on, the model must be worth having: far better than chance, in batches too.
#[test]
fn tpe_beats_chance_on_other_problems() {
    let [tpe, random] = ["tpe", "random"].map(|name| SamplerConfig::by_name(name).unwrap());
    for problem in problems::others() {
        let chance = problem.median_regret(&random, 20, 100, 1).unwrap();
        for (batch, share) in [(1, 0.6), (4, 0.7)] {
            let ours = problem.median_regret(&tpe, 20, 100, batch).unwrap();
            assert!(
                ours <= share * chance,
                "{}, batches of {batch}: {ours} against {chance}",
                problem.name
            );
        }
    }
}
