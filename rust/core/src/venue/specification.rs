//! What can be traded of an instrument: its grid of prices and quantities, and what a unit is worth.

use std::fmt;

/// How far off the grid a value may lie, in increments: what arithmetic on decimals leaves behind.
pub const GRID_TOLERANCE: f64 = 1e-9;

/// Beyond so many increments a float cannot tell neighbours apart to [`GRID_TOLERANCE`]; there its own precision counts.
const EPSILONS: f64 = 4.0;

/// The rules of one instrument, as its orders are held to them. Increments of 0 are no grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Specification {
    /// Smallest step of a price.
    pub price_increment: f64,
    /// Smallest step of a quantity.
    pub size_increment: f64,
    /// Smallest quantity of an order; 0: any.
    pub min_quantity: f64,
    /// Largest quantity of an order; infinite: any.
    pub max_quantity: f64,
    /// What one unit at a price of 1 is worth in the currency of the price.
    pub multiplier: f64,
    /// Whether a limit or stop may lie below zero.
    pub negative_prices: bool,
}

impl Default for Specification {
    fn default() -> Self {
        Self {
            price_increment: 0.0,
            size_increment: 0.0,
            min_quantity: 0.0,
            max_quantity: f64::INFINITY,
            multiplier: 1.0,
            negative_prices: false,
        }
    }
}

/// Why a price or quantity is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OffGrid {
    /// Not finite, or not above zero where it has to be.
    Price(f64),
    /// Between two steps.
    PriceStep {
        /// What was asked for.
        price: f64,
        /// The step.
        increment: f64,
        /// The nearest price there is.
        nearest: f64,
    },
    /// Between two steps.
    QuantityStep {
        /// What was asked for.
        quantity: f64,
        /// The step.
        increment: f64,
        /// The nearest quantity there is.
        nearest: f64,
    },
    /// Below the smallest or above the largest.
    QuantityRange {
        /// What was asked for.
        quantity: f64,
        /// The smallest.
        least: f64,
        /// The largest.
        most: f64,
    },
}

impl fmt::Display for OffGrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Price(price) => write!(f, "price is {price}: expected a finite number above zero"),
            Self::PriceStep { price, increment, nearest } => {
                write!(f, "price {price} is off the grid of {increment}: the nearest price is {nearest}")
            }
            Self::QuantityStep { quantity, increment, nearest } => {
                write!(f, "quantity {quantity} is off the grid of {increment}: the nearest is {nearest}")
            }
            Self::QuantityRange { quantity, least, most } => {
                write!(f, "quantity is {quantity}: expected {least} to {most}")
            }
        }
    }
}

impl Specification {
    /// Looks at a limit or a stop.
    ///
    /// # Errors
    /// It is no price of this instrument.
    pub fn check_price(&self, price: f64) -> Result<(), OffGrid> {
        if !price.is_finite() || (price <= 0.0 && !self.negative_prices) {
            return Err(OffGrid::Price(price));
        }
        let increment = self.price_increment;
        if is_on_grid(price, increment) {
            return Ok(());
        }
        Err(OffGrid::PriceStep { price, increment, nearest: nearest(price, increment) })
    }

    /// Looks at a quantity that is finite and above zero.
    ///
    /// # Errors
    /// It is no quantity of this instrument.
    pub fn check_quantity(&self, quantity: f64) -> Result<(), OffGrid> {
        if quantity < self.min_quantity || quantity > self.max_quantity {
            return Err(OffGrid::QuantityRange { quantity, least: self.min_quantity, most: self.max_quantity });
        }
        let increment = self.size_increment;
        if is_on_grid(quantity, increment) {
            return Ok(());
        }
        Err(OffGrid::QuantityStep { quantity, increment, nearest: nearest(quantity, increment) })
    }

    /// The price on the grid that is nearest to `price`.
    pub fn round_price(&self, price: f64) -> f64 {
        nearest(price, self.price_increment)
    }

    /// The largest quantity on the grid that is not above `quantity`, but for [`GRID_TOLERANCE`]; keeps the sign.
    ///
    /// ```
    /// use tickrail_core::venue::Specification;
    /// let lots = Specification { size_increment: 0.01, ..Specification::default() };
    /// assert_eq!((lots.round_quantity(0.029), lots.round_quantity(0.03), lots.round_quantity(-0.5)), (0.02, 0.03, -0.5));
    /// ```
    pub fn round_quantity(&self, quantity: f64) -> f64 {
        if is_on_grid(quantity, self.size_increment) {
            return nearest(quantity, self.size_increment);
        }
        at((quantity / self.size_increment).trunc(), self.size_increment)
    }
}

fn is_on_grid(value: f64, increment: f64) -> bool {
    if increment == 0.0 {
        return true;
    }
    let steps = value / increment;
    (steps - steps.round()).abs() <= GRID_TOLERANCE.max(steps.abs() * EPSILONS * f64::EPSILON)
}

fn nearest(value: f64, increment: f64) -> f64 {
    if increment == 0.0 { value } else { at((value / increment).round(), increment) }
}

/// `steps` increments: through the inverse where that is whole, since 3 / 10 is 0.3 and 3 * 0.1 is not.
fn at(steps: f64, increment: f64) -> f64 {
    let inverse = (1.0 / increment).round();
    if inverse >= 1.0 && (inverse * increment - 1.0).abs() <= EPSILONS * f64::EPSILON {
        steps / inverse
    } else {
        steps * increment
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cents() -> Specification {
        Specification { price_increment: 0.01, size_increment: 0.25, min_quantity: 0.5, ..Specification::default() }
    }

    #[test]
    fn off_the_grid_says_the_nearest() {
        assert_eq!(cents().check_price(1.23), Ok(()));
        let error = cents().check_price(1.234).unwrap_err();
        assert_eq!(error, OffGrid::PriceStep { price: 1.234, increment: 0.01, nearest: 1.23 });
        assert_eq!(error.to_string(), "price 1.234 is off the grid of 0.01: the nearest price is 1.23");
        assert_eq!(cents().check_price(0.0), Err(OffGrid::Price(0.0)));
        assert!(matches!(cents().check_price(f64::NAN), Err(OffGrid::Price(_))));
        assert!(Specification { negative_prices: true, ..cents() }.check_price(-1.0).is_ok());
        assert!(matches!(cents().check_quantity(0.25), Err(OffGrid::QuantityRange { .. })));
        assert!(matches!(cents().check_quantity(0.6), Err(OffGrid::QuantityStep { .. })));
    }

    #[test]
    fn without_increments_everything_is_on_the_grid() {
        let free = Specification::default();
        assert_eq!((free.check_price(1.234_567), free.check_quantity(1e-7)), (Ok(()), Ok(())));
        assert_eq!((free.round_price(1.234_567), free.round_quantity(0.1)), (1.234_567, 0.1));
    }

    proptest! {
        /// What is rounded is on the grid, rounding twice changes nothing, and arithmetic's dust is forgiven.
        #[test]
        fn rounding_lands_on_the_grid(steps in 1_i64..100_000_000, digits in 0_i32..9, dust in -1e-10_f64..1e-10) {
            let increment = 1.0 / 10_f64.powi(digits);
            let grid = Specification { price_increment: increment, size_increment: increment, ..Specification::default() };
            let price = steps as f64 * increment + dust * increment;
            prop_assert_eq!(grid.check_price(price), Ok(()));
            let rounded = grid.round_price(price);
            prop_assert_eq!(rounded, grid.round_price(rounded));
            prop_assert_eq!(rounded, steps as f64 / 10_f64.powi(digits));
            prop_assert_eq!(grid.round_quantity(rounded), rounded);
        }
    }
}
