//! From losses to what the process models.
//!
//! A loss that is a thousand times worse than another is not a thousand times more interesting: cliffs and curved valleys
//! over many decades would take up all of a stationary process. So losses are linear up to a knot and logarithmic above it,
//! then standardised. The knot is a quantile of the losses, chosen among [`QUANTILES`] by the marginal likelihood of the
//! untransformed losses, as for the warped processes of Snelson, Rasmussen and Ghahramani (2004): the likelihood of the
//! targets times the derivative of the transform. 1.0 leaves the losses as they are.

/// Shares of the losses that lie below the knot.
pub const QUANTILES: [f64; 6] = [1.0, 0.9, 0.75, 0.5, 0.35, 0.2];
/// Losses beyond this count as this.
const LARGEST: f64 = 1e100;

/// Transformed losses.
pub struct Warped {
    /// Mean 0, deviation 1 (all 0 if the losses are equal), in the order of the losses.
    pub targets: Vec<f64>,
    /// Sum of the logarithms of the transform's derivatives at the losses.
    pub log_jacobian: f64,
}

/// Transforms losses with the knot at a quantile of them. There must be at least one loss.
pub fn warp(losses: &[f64], quantile: f64) -> Warped {
    let clamped = losses.iter().map(|loss| loss.clamp(-LARGEST, LARGEST));
    let mut sorted: Vec<f64> = clamped.clone().collect();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    let least = sorted[0];
    let knot = sorted[((n as f64 - 1.0) * quantile) as usize];
    // Equal best losses must not make a cliff of everything else.
    let scale = (knot - least).max(1e-9 * (sorted[n - 1] - least));
    let scale = if scale > 0.0 { scale } else { 1.0 };
    let mut log_jacobian = -(n as f64) * libm::log(scale);
    let mut targets: Vec<f64> = clamped.map(|loss| (loss - knot) / scale).collect();
    for z in targets.iter_mut().filter(|z| **z > 0.0) {
        *z = libm::log1p(*z);
        log_jacobian -= *z;
    }
    let mean = targets.iter().sum::<f64>() / n as f64;
    let variance = targets.iter().map(|z| (z - mean) * (z - mean)).sum::<f64>() / n as f64;
    let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
    for z in &mut targets {
        *z = (*z - mean) / deviation;
    }
    log_jacobian -= n as f64 * libm::log(deviation);
    Warped { targets, log_jacobian }
}
