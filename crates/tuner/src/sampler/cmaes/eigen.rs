//! Small symmetric matrices and their eigenvectors.
//!
//! Jacobi's cyclic method (Golub and Van Loan, section 8.5): additions, multiplications, divisions and square roots in a
//! fixed order. Library routines were not taken because theirs pick vector instructions by machine, fused
//! multiply-add among them, and with those the last bits of a session.

/// A square matrix, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    size: usize,
    cells: Vec<f64>,
}

impl Matrix {
    pub fn identity(size: usize) -> Matrix {
        let mut matrix = Matrix {
            size,
            cells: vec![0.0; size * size],
        };
        for k in 0..size {
            matrix.cells[k * size + k] = 1.0;
        }
        matrix
    }

    pub fn get(&self, row: usize, column: usize) -> f64 {
        self.cells[row * self.size + column]
    }

    pub fn set_symmetric(&mut self, row: usize, column: usize, value: f64) {
        self.cells[row * self.size + column] = value;
        self.cells[column * self.size + row] = value;
    }

    pub fn times(&self, vector: &[f64]) -> Vec<f64> {
        let row = |cells: &[f64]| cells.iter().zip(vector).map(|(a, x)| a * x).sum();
        self.cells.chunks_exact(self.size).map(row).collect()
    }

    pub fn transposed_times(&self, vector: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; self.size];
        for (cells, x) in self.cells.chunks_exact(self.size).zip(vector) {
            for (sum, a) in sums.iter_mut().zip(cells) {
                *sum += a * x;
            }
        }
        sums
    }
}

/// Sweeps over all pairs; a symmetric matrix of any size here needs about ten.
const SWEEPS: usize = 50;

/// Eigenvalues of a symmetric matrix, and its eigenvectors as columns in the same order.
pub fn eigen(matrix: &Matrix) -> (Vec<f64>, Matrix) {
    let n = matrix.size;
    let mut a = matrix.cells.clone();
    let mut vectors = Matrix::identity(n);
    for _ in 0..SWEEPS {
        let mut turned = false;
        for p in 0..n {
            for q in p + 1..n {
                let (app, aqq, apq) = (a[p * n + p], a[q * n + q], a[p * n + q]);
                // Too small to change either diagonal entry.
                if apq.abs() <= f64::EPSILON * 0.01 * (app.abs() * aqq.abs()).sqrt() {
                    continue;
                }
                turned = true;
                let theta = (aqq - app) / (2.0 * apq);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (a[k * n + p], a[k * n + q]);
                    a[k * n + p] = c * x - s * y;
                    a[k * n + q] = s * x + c * y;
                }
                for k in 0..n {
                    let (x, y) = (a[p * n + k], a[q * n + k]);
                    a[p * n + k] = c * x - s * y;
                    a[q * n + k] = s * x + c * y;
                }
                for row in vectors.cells.chunks_exact_mut(n) {
                    let (x, y) = (row[p], row[q]);
                    row[p] = c * x - s * y;
                    row[q] = s * x + c * y;
                }
            }
        }
        if !turned {
            break;
        }
    }
    ((0..n).map(|k| a[k * n + k]).collect(), vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvectors_are_orthonormal_and_rebuild_the_matrix() {
        let mut rng = crossbook_engine::rng::Rng::stream(4, "test.eigen");
        for n in [1, 2, 3, 8, 20] {
            let mut matrix = Matrix::identity(n);
            for row in 0..n {
                for column in 0..=row {
                    matrix.set_symmetric(row, column, rng.normal());
                }
            }
            let (values, vectors) = eigen(&matrix);
            for i in 0..n {
                for j in 0..n {
                    let dot: f64 = (0..n).map(|k| vectors.get(k, i) * vectors.get(k, j)).sum();
                    assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-12, "{n}: {i} {j}");
                    let sum: f64 = (0..n).map(|k| values[k] * vectors.get(i, k) * vectors.get(j, k)).sum();
                    assert!((sum - matrix.get(i, j)).abs() < 1e-11, "{n}: {i} {j}");
                }
            }
        }
    }

    #[test]
    fn equal_eigenvalues_and_diagonal_matrices_are_no_trouble() {
        assert_eq!(eigen(&Matrix::identity(5)), (vec![1.0; 5], Matrix::identity(5)));
        let mut ones = Matrix::identity(3);
        for row in 0..3 {
            for column in 0..row {
                ones.set_symmetric(row, column, 1.0);
            }
        }
        let mut values = eigen(&ones).0;
        values.sort_by(f64::total_cmp);
        assert!((values[2] - 3.0).abs() < 1e-14 && values[0].abs() < 1e-14 && values[1].abs() < 1e-14);
    }
}
