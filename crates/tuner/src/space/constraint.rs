//! Linear constraints between parameters: `"strategy.exit_bps" < strategy.entry_bps`.

use std::fmt;

use super::SpaceError;

/// A linear inequality between parameters.
///
/// Grammar: two sums of terms with one of `<`, `<=`, `>`, `>=` between them; terms are numbers, parameter names, products
/// with at most one factor that names a parameter, quotients by numbers, and sums in parentheses. A name stands in double
/// quotes, or bare if it consists of letters, digits, `_` and `.` and begins with a letter or `_`.
///
/// Equality is refused: a search that draws at random never meets it; use `fixed`, or leave one parameter out.
///
/// Sums are compared with a slack of 1e-12 of the sum of the terms' sizes, so that `a + b <= 0.3` allows 0.1 and 0.2.
#[derive(Debug, Clone, PartialEq)]
pub struct Constraint {
    text: String,
    /// `sum(factor * parameter) + constant` must be at most (or below) zero.
    terms: Vec<(String, f64)>,
    constant: f64,
    strict: bool,
}

impl Constraint {
    /// Reads a constraint.
    ///
    /// # Errors
    /// When the text is not of the grammar above; says where and what was expected.
    pub fn parse(text: &str) -> Result<Constraint, SpaceError> {
        let mut parser = Parser { text, at: 0, depth: 0 };
        let left = parser.sum()?;
        let (turned, strict) = parser.comparison()?;
        let right = parser.sum()?;
        parser.skip_spaces();
        if parser.at < text.len() {
            return Err(parser.expected("the end or an operator"));
        }
        let mut sum = left;
        sum.add(&right, -1.0);
        if turned {
            sum.scale(-1.0);
        }
        sum.terms.retain(|(_, factor)| *factor != 0.0);
        if sum.terms.is_empty() {
            return Err(SpaceError::NoParameter {
                constraint: text.to_owned(),
            });
        }
        if !sum.constant.is_finite() || sum.terms.iter().any(|(_, factor)| !factor.is_finite()) {
            return Err(SpaceError::NotLinear {
                constraint: text.to_owned(),
            });
        }
        Ok(Constraint {
            text: text.to_owned(),
            terms: sum.terms,
            constant: sum.constant,
            strict,
        })
    }

    /// Parameters with their factors; each once, no factor zero.
    pub fn terms(&self) -> &[(String, f64)] {
        &self.terms
    }

    /// Whether it holds, given the value of each term's parameter by the term's position.
    pub fn holds(&self, value: impl Fn(usize) -> f64) -> bool {
        let (mut sum, mut size) = (self.constant, self.constant.abs());
        for (index, (_, factor)) in self.terms.iter().enumerate() {
            let term = factor * value(index);
            sum += term;
            size += term.abs();
        }
        let slack = 1e-12 * size;
        if self.strict { sum < -slack } else { sum <= slack }
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A linear form.
#[derive(Default)]
struct Sum {
    terms: Vec<(String, f64)>,
    constant: f64,
}

impl Sum {
    fn add(&mut self, other: &Sum, sign: f64) {
        self.constant += sign * other.constant;
        for (name, factor) in &other.terms {
            match self.terms.iter_mut().find(|(own, _)| own == name) {
                Some((_, own)) => *own += sign * factor,
                None => self.terms.push((name.clone(), sign * factor)),
            }
        }
    }

    fn scale(&mut self, factor: f64) {
        self.constant *= factor;
        for (_, own) in &mut self.terms {
            *own *= factor;
        }
    }
}

/// Parentheses and signs that may stand inside each other.
const DEEPEST: u32 = 64;

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl Parser<'_> {
    fn expected(&self, expected: &'static str) -> SpaceError {
        SpaceError::Syntax {
            constraint: self.text.to_owned(),
            at: self.text[..self.at].chars().count() + 1,
            expected,
        }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip_spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_spaces();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Whether the sides are to be exchanged, and whether equality is excluded.
    fn comparison(&mut self) -> Result<(bool, bool), SpaceError> {
        for (token, turned, strict) in [
            ("<=", false, false),
            (">=", true, false),
            ("<", false, true),
            (">", true, true),
        ] {
            if self.take(token) {
                return Ok((turned, strict));
            }
        }
        Err(self.expected("an operator or one of <, <=, >, >="))
    }

    fn sum(&mut self) -> Result<Sum, SpaceError> {
        let mut sum = self.product()?;
        loop {
            let sign = if self.take("+") {
                1.0
            } else if self.take("-") {
                -1.0
            } else {
                return Ok(sum);
            };
            sum.add(&self.product()?, sign);
        }
    }

    fn product(&mut self) -> Result<Sum, SpaceError> {
        let mut left = self.factor()?;
        loop {
            if self.take("*") {
                let mut right = self.factor()?;
                if right.terms.is_empty() {
                    left.scale(right.constant);
                } else if left.terms.is_empty() {
                    right.scale(left.constant);
                    left = right;
                } else {
                    return Err(self.not_linear());
                }
            } else if self.take("/") {
                let right = self.factor()?;
                if !right.terms.is_empty() || right.constant == 0.0 {
                    return Err(self.not_linear());
                }
                left.scale(1.0 / right.constant);
            } else {
                return Ok(left);
            }
        }
    }

    fn not_linear(&self) -> SpaceError {
        SpaceError::NotLinear {
            constraint: self.text.to_owned(),
        }
    }

    fn factor(&mut self) -> Result<Sum, SpaceError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.expected("fewer parentheses"));
        }
        let sum = self.nested();
        self.depth -= 1;
        sum
    }

    fn nested(&mut self) -> Result<Sum, SpaceError> {
        if self.take("-") {
            let mut sum = self.factor()?;
            sum.scale(-1.0);
            return Ok(sum);
        }
        if self.take("(") {
            let sum = self.sum()?;
            return if self.take(")") {
                Ok(sum)
            } else {
                Err(self.expected("a closing parenthesis"))
            };
        }
        if self.take("\"") {
            let end = self.rest().find('"').ok_or_else(|| self.expected("a closing quote"))?;
            let name = self.rest()[..end].to_owned();
            self.at += end + 1;
            return Ok(name_term(name));
        }
        let word = self.rest();
        let first = word.chars().next();
        if first.is_some_and(|c| c.is_alphabetic() || c == '_') {
            let name = self.word(|c, _| c.is_alphanumeric() || c == '_' || c == '.');
            return Ok(name_term(name));
        }
        if first.is_some_and(|c| c.is_ascii_digit() || c == '.') {
            let start = self.at;
            let digits = |c: char, before: Option<char>| {
                c.is_ascii_digit()
                    || matches!(c, '.' | 'e' | 'E')
                    || (matches!(c, '+' | '-') && matches!(before, Some('e' | 'E')))
            };
            let number = self.word(digits);
            return match number.parse::<f64>() {
                Ok(constant) if constant.is_finite() => Ok(Sum {
                    terms: Vec::new(),
                    constant,
                }),
                _ => {
                    self.at = start;
                    Err(self.expected("a finite number"))
                }
            };
        }
        Err(self.expected("a number, a parameter or a parenthesis"))
    }

    /// Takes characters while `part` accepts one and the one before it.
    fn word(&mut self, part: impl Fn(char, Option<char>) -> bool) -> String {
        let mut before = None;
        let mut end = self.rest().len();
        for (at, c) in self.rest().char_indices() {
            if !part(c, before) {
                end = at;
                break;
            }
            before = Some(c);
        }
        let word = self.rest()[..end].to_owned();
        self.at += end;
        word
    }
}

fn name_term(name: String) -> Sum {
    Sum {
        terms: vec![(name, 1.0)],
        constant: 0.0,
    }
}
