//! What a run keeps of its orders and fills: a list that grows without moving what it has.

use std::ops::Index;

/// Rows of one piece. A piece is some ten kilobytes: no row waits for a large piece of memory to be found and filled.
const ROWS: usize = 512;

/// A list that only grows, in pieces that stay where they are.
///
/// A vector that doubles moves all of it: a run with 200,000 orders would stop for 40 MB, and touch half as many pages again
/// as it keeps.
///
/// ```
/// use tickrail_core::kept::Kept;
/// let mut numbers = Kept::default();
/// (0..2_000).for_each(|number| numbers.push(number));
/// assert_eq!((numbers[1_999], numbers.get(2_000), numbers.iter().len()), (1_999, None, 2_000));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Kept<T> {
    /// Each but the last has `ROWS`.
    pieces: Vec<Vec<T>>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { pieces: Vec::new() }
    }
}

impl<T> Kept<T> {
    /// Puts `row` at the end.
    #[inline]
    pub fn push(&mut self, row: T) {
        match self.pieces.last_mut() {
            Some(piece) if piece.len() < ROWS => piece.push(row),
            _ => self.begin(row),
        }
    }

    /// The first piece grows with what there is, for most runs have few rows.
    #[cold]
    fn begin(&mut self, row: T) {
        let mut piece = if self.pieces.is_empty() { Vec::new() } else { Vec::with_capacity(ROWS) };
        piece.push(row);
        self.pieces.push(piece);
    }

    /// The row at `place`, counted from 0.
    #[inline]
    pub fn get(&self, place: usize) -> Option<&T> {
        self.pieces.get(place / ROWS)?.get(place % ROWS)
    }

    /// The row at `place`, to be changed.
    #[inline]
    pub fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.pieces.get_mut(place / ROWS)?.get_mut(place % ROWS)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pieces.last().map_or(0, |last| (self.pieces.len() - 1) * ROWS + last.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// All of them, in the order they came.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { rows: self.pieces.iter().flatten(), left: self.len() }
    }
}

impl<T> Index<usize> for Kept<T> {
    type Output = T;

    fn index(&self, place: usize) -> &T {
        &self.pieces[place / ROWS][place % ROWS]
    }
}

impl<'a, T> IntoIterator for &'a Kept<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// The rows of a [`Kept`].
#[derive(Clone, Debug)]
pub struct Iter<'a, T> {
    rows: std::iter::Flatten<std::slice::Iter<'a, Vec<T>>>,
    left: usize,
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        let row = self.rows.next()?;
        self.left -= 1;
        Some(row)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a, T> DoubleEndedIterator for Iter<'a, T> {
    #[inline]
    fn next_back(&mut self) -> Option<&'a T> {
        let row = self.rows.next_back()?;
        self.left -= 1;
        Some(row)
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_vector_that_does_not_move() {
        let (mut kept, mut model) = (Kept::default(), Vec::new());
        let mut first = None;
        for row in 0..3 * ROWS + 7 {
            assert_eq!((kept.len(), kept.is_empty(), kept.get(row)), (model.len(), model.is_empty(), None));
            kept.push(row);
            model.push(row);
            if row == ROWS {
                first = Some(std::ptr::from_ref(&kept[0]));
            }
        }
        *kept.get_mut(ROWS).unwrap() = 0;
        model[ROWS] = 0;
        assert!(
            kept.iter().eq(&model)
                && kept.iter().rev().eq(model.iter().rev())
                && (&kept).into_iter().len() == model.len()
        );
        assert!((0..model.len()).all(|place| kept[place] == model[place] && kept.get(place) == model.get(place)));
        assert_eq!(first, Some(std::ptr::from_ref(&kept[0])));
    }
}
