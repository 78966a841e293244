//! How far an order got, and where it may go from there.

/// How far an order got. The discriminants enter the run digest and never change.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderStatus {
    /// Asked for in this step; it has not left.
    Pending = 0,
    /// The venue has it.
    Accepted = 1,
    /// Done in full.
    Filled = 2,
    /// Taken back, by its owner or by its terms.
    Canceled = 3,
    /// Never taken, by the gate or by the venue.
    Rejected = 4,
    /// On its way to the venue.
    Submitted = 5,
    /// Done in part; the rest stands.
    PartiallyFilled = 6,
    /// Its time has run out.
    Expired = 7,
}

impl OrderStatus {
    /// All of them, by discriminant.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Accepted,
        Self::Filled,
        Self::Canceled,
        Self::Rejected,
        Self::Submitted,
        Self::PartiallyFilled,
        Self::Expired,
    ];

    /// The name as users see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Accepted => "ACCEPTED",
            Self::Filled => "FILLED",
            Self::Canceled => "CANCELED",
            Self::Rejected => "REJECTED",
            Self::Submitted => "SUBMITTED",
            Self::PartiallyFilled => "PARTIALLY_FILLED",
            Self::Expired => "EXPIRED",
        }
    }

    /// Whether nothing more can happen to the order.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Filled | Self::Canceled | Self::Rejected | Self::Expired)
    }

    /// The transition table.
    ///
    /// ```
    /// use tickrail_core::venue::OrderStatus;
    /// assert!(OrderStatus::Accepted.may_become(OrderStatus::PartiallyFilled));
    /// assert!(!OrderStatus::Filled.may_become(OrderStatus::Canceled));
    /// ```
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Pending => matches!(next, Self::Submitted | Self::Accepted | Self::Rejected | Self::Canceled),
            Self::Submitted => matches!(next, Self::Accepted | Self::Rejected | Self::Canceled),
            Self::Accepted | Self::PartiallyFilled => {
                matches!(next, Self::PartiallyFilled | Self::Filled | Self::Canceled | Self::Expired)
            }
            Self::Filled | Self::Canceled | Self::Rejected | Self::Expired => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_table_agree() {
        for (code, status) in OrderStatus::ALL.into_iter().enumerate() {
            assert_eq!(status as usize, code);
            let leads_on = OrderStatus::ALL.into_iter().any(|next| status.may_become(next));
            assert_eq!(leads_on, !status.is_final(), "{status:?}");
            assert!(!status.may_become(OrderStatus::Pending));
        }
    }
}
