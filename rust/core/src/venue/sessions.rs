//! When a venue trades.

/// A day, ns: the times of a session are counted from midnight UTC.
pub const DAY_NS: i64 = 86_400_000_000_000;

/// Days from the epoch, which was a Thursday, to a Monday.
const EPOCH_WEEKDAY: i64 = 3;

/// One stretch of a day in which a venue trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its beginning, ns since midnight UTC.
    pub open_ns: i64,
    /// Its end, ns since midnight UTC; above `open_ns`, at most a day.
    pub close_ns: i64,
    /// Bit 0 is Monday.
    pub weekdays: u8,
}

const fn midnight_before(ts_ns: i64) -> i64 {
    ts_ns.div_euclid(DAY_NS).saturating_mul(DAY_NS)
}

/// The sessions of a venue; none: it always trades, and its day ends at midnight UTC.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Sessions(Vec<Session>);

/// A session that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionError(pub Session);

impl std::fmt::Display for SessionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Session { open_ns, close_ns, weekdays } = self.0;
        write!(
            f,
            "a session from {open_ns} to {close_ns} ns on weekdays {weekdays:#09b} cannot be: expected an end after the \
             beginning, both within a day, and a weekday"
        )
    }
}

impl std::error::Error for SessionError {}

impl Sessions {
    /// These sessions.
    ///
    /// # Errors
    /// One of them ends before it begins, goes beyond the day, or is on no weekday.
    pub fn new(sessions: Vec<Session>) -> Result<Self, SessionError> {
        let is_sound = |session: &&Session| {
            (0..DAY_NS).contains(&session.open_ns)
                && (session.open_ns + 1..=DAY_NS).contains(&session.close_ns)
                && session.weekdays & 0x7F != 0
        };
        match sessions.iter().find(|session| !is_sound(session)) {
            Some(session) => Err(SessionError(*session)),
            None => Ok(Self(sessions)),
        }
    }

    /// Whether the venue trades at `ts_ns`: from the beginning of a session to just before its end.
    #[inline]
    pub fn is_open(&self, ts_ns: i64) -> bool {
        self.0.is_empty() || self.at(ts_ns).is_some()
    }

    fn at(&self, ts_ns: i64) -> Option<&Session> {
        let (day, since) = (ts_ns.div_euclid(DAY_NS), ts_ns.rem_euclid(DAY_NS));
        let weekday = (day + EPOCH_WEEKDAY).rem_euclid(7);
        let holds = |session: &&Session| {
            session.weekdays >> weekday & 1 == 1 && (session.open_ns..session.close_ns).contains(&since)
        };
        self.0.iter().find(holds)
    }

    /// Whether the venue trades during what a record of `ts_ns` tells of: a bar tells of the time before it.
    #[inline]
    pub fn is_open_for(&self, is_bar: bool, ts_ns: i64) -> bool {
        self.is_open(ts_ns - i64::from(is_bar))
    }

    /// When a day order given at `ts_ns` expires: at the end of the session, or of the UTC day. A session that goes on after
    /// midnight is one, as long as it is no longer than a day.
    pub fn day_end_ns(&self, ts_ns: i64) -> i64 {
        let day_end = midnight_before(ts_ns).saturating_add(DAY_NS);
        let Some((mut begin, mut end)) = self.around(ts_ns) else { return day_end };
        while let Some((earlier, _)) = self.around(begin - 1).filter(|_| end - begin <= DAY_NS) {
            begin = earlier;
        }
        while let Some((_, later)) = self.around(end).filter(|_| end - begin <= DAY_NS) {
            end = later;
        }
        if end - begin <= DAY_NS { end } else { day_end }
    }

    /// The session that `ts_ns` lies in, as times.
    fn around(&self, ts_ns: i64) -> Option<(i64, i64)> {
        let midnight = midnight_before(ts_ns);
        self.at(ts_ns).map(|session| (midnight + session.open_ns, midnight + session.close_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_NS: i64 = 3_600_000_000_000;

    fn office_hours() -> Sessions {
        let session = Session { open_ns: 9 * HOUR_NS, close_ns: 17 * HOUR_NS, weekdays: 0b001_1111 };
        Sessions::new(vec![session]).unwrap()
    }

    #[test]
    fn open_from_the_beginning_to_just_before_the_end_on_weekdays() {
        let sessions = office_hours();
        let thursday = |hours: i64| hours * HOUR_NS;
        assert!(!sessions.is_open(thursday(9) - 1));
        assert!(sessions.is_open(thursday(9)) && sessions.is_open(thursday(17) - 1));
        assert!(!sessions.is_open(thursday(17)));
        let days = (0..7).filter(|day| sessions.is_open(day * DAY_NS + thursday(12)));
        assert_eq!(days.collect::<Vec<_>>(), [0, 1, 4, 5, 6], "the epoch was a Thursday");
        assert!(sessions.is_open(12 * HOUR_NS - 7 * DAY_NS), "before the epoch too");
    }

    #[test]
    fn a_day_ends_with_its_session_or_at_midnight() {
        assert_eq!(office_hours().day_end_ns(10 * HOUR_NS), 17 * HOUR_NS);
        assert_eq!(Sessions::default().day_end_ns(10 * HOUR_NS), DAY_NS);
        assert_eq!(Sessions::default().day_end_ns(-1), 0);
        assert_eq!(Sessions::default().day_end_ns(0), DAY_NS);
    }

    #[test]
    fn a_session_over_midnight_is_one_and_a_week_without_a_pause_is_days() {
        let part = |open_ns, close_ns, weekdays| Session { open_ns, close_ns, weekdays };
        // Sunday to Thursday from 22:00, to 21:00 of the next day, with a pause of an hour.
        let futures = vec![part(22 * HOUR_NS, DAY_NS, 0b100_1111), part(0, 21 * HOUR_NS, 0b001_1111)];
        let futures = Sessions::new(futures).unwrap();
        // The epoch was a Thursday.
        for hours in [-2, -1, 0, 20] {
            assert_eq!(futures.day_end_ns(hours * HOUR_NS), 21 * HOUR_NS, "{hours}");
        }
        assert_eq!(futures.day_end_ns(22 * HOUR_NS), 45 * HOUR_NS);
        let lunch = Sessions::new(vec![part(HOUR_NS, 2 * HOUR_NS, 127), part(3 * HOUR_NS, 4 * HOUR_NS, 127)]).unwrap();
        assert_eq!(lunch.day_end_ns(HOUR_NS), 2 * HOUR_NS, "a pause ends a session");
        let always = Sessions::new(vec![part(0, DAY_NS, 127)]).unwrap();
        assert_eq!(always.day_end_ns(10 * HOUR_NS), DAY_NS);
        let weekdays = Sessions::new(vec![part(0, DAY_NS, 0b001_1111)]).unwrap();
        assert_eq!(weekdays.day_end_ns(10 * HOUR_NS), DAY_NS);
    }

    #[test]
    fn a_bar_tells_of_the_time_before_it() {
        let sessions = office_hours();
        assert!(!sessions.is_open_for(true, 9 * HOUR_NS) && sessions.is_open_for(false, 9 * HOUR_NS));
        assert!(sessions.is_open_for(true, 17 * HOUR_NS) && !sessions.is_open_for(false, 17 * HOUR_NS));
    }

    #[test]
    fn what_is_no_session_is_refused() {
        let session = Session { open_ns: 5, close_ns: 5, weekdays: 1 };
        assert_eq!(Sessions::new(vec![session]), Err(SessionError(session)));
        assert!(Sessions::new(vec![Session { close_ns: 6, weekdays: 0x80, ..session }]).is_err());
        assert!(Sessions::new(vec![Session { close_ns: DAY_NS, ..session }]).is_ok());
    }
}
