//! The few operations on symmetric positive definite matrices that a Gaussian process needs.
//!
//! Own code rather than a crate's, because the results must be the same bits on every machine: libraries choose kernels
//! with fused multiply-add by the processor at hand. Sums run in a fixed order of lanes, which the compiler turns
//! into vector instructions. Matrices are square, row after row; of a triangular one only the lower half is looked at.

/// Lanes of a sum: enough to hide the latency of an addition.
const LANES: usize = 8;
/// Right-hand sides solved together.
pub const BLOCK: usize = 8;

/// Scalar product.
#[inline]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7])) + rest
}

/// Replaces the lower half of a symmetric matrix by its Cholesky factor; `false` if it is not positive definite.
#[must_use]
pub fn cholesky(a: &mut [f64], n: usize) -> bool {
    for i in 0..n {
        let (above, below) = a.split_at_mut(i * n);
        let row = &mut below[..=i];
        for j in 0..i {
            let other = &above[j * n..=j * n + j];
            row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
        }
        let pivot = row[i] - dot(&row[..i], &row[..i]);
        if pivot.is_nan() || pivot <= 0.0 {
            return false;
        }
        row[i] = pivot.sqrt();
    }
    true
}

/// Solves `L x = b` in place.
pub fn solve_lower(l: &[f64], n: usize, b: &mut [f64]) {
    for i in 0..n {
        let row = &l[i * n..=i * n + i];
        b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
    }
}

/// Solves `L^T x = b` in place.
pub fn solve_upper(l: &[f64], n: usize, b: &mut [f64]) {
    for i in (0..n).rev() {
        let row = &l[i * n..=i * n + i];
        let x = b[i] / row[i];
        b[i] = x;
        for (own, factor) in b[..i].iter_mut().zip(row) {
            *own -= x * factor;
        }
    }
}

/// Solves `L x = b` for a block of right-hand sides in place.
pub fn solve_lower_block(l: &[f64], n: usize, b: &mut [[f64; BLOCK]]) {
    for i in 0..n {
        let row = &l[i * n..=i * n + i];
        let mut sum = b[i];
        for (factor, x) in row[..i].iter().zip(&b[..i]) {
            for lane in 0..BLOCK {
                sum[lane] -= factor * x[lane];
            }
        }
        for value in &mut sum {
            *value /= row[i];
        }
        b[i] = sum;
    }
}

/// The inverse of a matrix from its Cholesky factor, lower half only. `scratch` and `inverse` have the size of `l`.
pub fn inverse(l: &[f64], n: usize, scratch: &mut [f64], inverse: &mut [f64]) {
    // Row j of `scratch` is column j of the factor's inverse.
    for j in 0..n {
        let column = &mut scratch[j * n..(j + 1) * n];
        column[j] = 1.0 / l[j * n + j];
        for i in j + 1..n {
            let row = &l[i * n..=i * n + i];
            column[i] = -dot(&row[j..i], &column[j..i]) / row[i];
        }
    }
    for i in 0..n {
        for j in 0..=i {
            inverse[i * n + j] = dot(&scratch[i * n + i..(i + 1) * n], &scratch[j * n + i..(j + 1) * n]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbook_engine::rng::Rng;

    #[test]
    fn factor_solve_and_inverse_fit_together() {
        for n in [1, 2, 7, 8, 9, 33] {
            let mut rng = Rng::stream(n as u64, "linalg");
            let m: Vec<f64> = (0..n * n).map(|_| rng.normal()).collect();
            let mut a = vec![0.0; n * n];
            for i in 0..n {
                for j in 0..n {
                    a[i * n + j] = dot(&m[i * n..(i + 1) * n], &m[j * n..(j + 1) * n]) + f64::from(u8::from(i == j));
                }
            }
            let mut l = a.clone();
            assert!(cholesky(&mut l, n));
            let b: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
            let mut x = b.clone();
            solve_lower(&l, n, &mut x);
            let mut block: Vec<[f64; BLOCK]> = b.iter().map(|&value| [value; BLOCK]).collect();
            solve_lower_block(&l, n, &mut block);
            assert!(
                block
                    .iter()
                    .zip(&x)
                    .all(|(lanes, x)| lanes.iter().all(|lane| (lane - x).abs() < 1e-9))
            );
            solve_upper(&l, n, &mut x);
            let (mut scratch, mut inv) = (vec![0.0; n * n], vec![0.0; n * n]);
            inverse(&l, n, &mut scratch, &mut inv);
            for i in 0..n {
                assert!((dot(&a[i * n..(i + 1) * n], &x) - b[i]).abs() < 1e-9, "n {n}");
                let full: f64 = (0..n).map(|j| inv[i.max(j) * n + i.min(j)] * b[j]).sum();
                assert!((full - x[i]).abs() < 1e-9, "n {n}");
            }
        }
        assert!(!cholesky(&mut [1.0, 0.0, 2.0, 1.0], 2));
        assert!(!cholesky(&mut [f64::NAN], 1));
    }
}
