//! Answers of venues outside of the process: external inputs that move orders on, and what is held when the run begins.

use super::dispatcher::Dispatcher;
use super::external::{Externals, take_one};
use super::host::Host;
use super::step::Steps;
use crate::command::{Command, CommandKind, Lane};
use crate::source::Slice;
use crate::venue::{Amendment, Answer, AnswerKind, Held, Order, OrderKey, OrderStatus, VenueFill, VenueReport, kept};

/// Of an order's quantity: what is closer to it is all of it.
const WHOLE: f64 = 1e-9;

impl<H: Host> Dispatcher<H> {
    /// What strategies hold at venues outside when the run begins: the first inputs, before strategies are started.
    pub fn hold(&mut self, held: impl IntoIterator<Item = (u32, Answer)>) {
        let command = |(strategy, answer): (u32, Answer)| Command::new(CommandKind::VENUE, strategy, answer.payload());
        self.held.extend(held.into_iter().map(command));
    }

    /// Takes these inputs, or those of a recording.
    pub(super) fn take_held(&mut self) {
        let slice = self.source.current();
        let slice = slice.first(0);
        for command in std::mem::take(&mut self.held) {
            self.steps.external_step(&slice, Lane::Control, command);
        }
        if let Externals::Replay(records) = &mut self.externals {
            while records.front().is_some_and(|next| is_held(next.kind, &next.payload))
                && take_one(records, &mut self.steps, &slice)
            {}
        }
    }
}

fn is_held(kind: CommandKind, payload: &[u8]) -> bool {
    kind == CommandKind::VENUE && payload.first() == Some(&(AnswerKind::Held as u8))
}

impl<H: Host> Steps<H> {
    /// An answer that says nothing new, or is none, changes nothing.
    pub(super) fn venue_answer(&mut self, command: &Command, slice: &Slice<'_>) {
        let Some(answer) = Answer::from_payload(&command.payload) else { return };
        if answer.kind == AnswerKind::Held {
            return self.enter_held(command.strategy, &answer);
        }
        let key = OrderKey { strategy: command.strategy, number: answer.number };
        let Some(order) = self.desk.with_orders(|book| book.get(key).copied()) else { return };
        let mut reports = std::mem::take(&mut self.reports);
        reports_of(&order, &answer, &mut reports);
        self.tell_all(slice, &mut reports, self.desk.now_ns(), None);
        self.reports = reports;
    }

    fn enter_held(&mut self, strategy: u32, answer: &Answer) {
        let [net, price, _] = answer.figures;
        if (answer.number as usize) < self.watched.len() && net.is_finite() && price.is_finite() {
            let held = Held { strategy, instrument: answer.number, net, price, ts_ns: self.desk.now_ns() };
            self.desk.portfolio.borrow_mut().hold(held);
            self.desk.show_position(strategy, held.instrument);
            self.watched[answer.number as usize] = true;
            self.bars.keep(answer.number);
        }
    }
}

/// What an answer makes of an order that stands as `order` does.
fn reports_of(order: &Order, answer: &Answer, out: &mut Vec<VenueReport>) {
    let (key, reason) = (order.key, || kept(&answer.reason));
    if order.status.is_final() {
        return;
    }
    match answer.kind {
        AnswerKind::Amended => {
            let [quantity, limit, stop] = answer.figures;
            let quantity = quantity.max(order.filled);
            accept(order, out);
            return out.push(VenueReport::Amended(key, Amendment { quantity, limit, stop }));
        }
        AnswerKind::NotAmended => {
            let [quantity, limit, stop] = answer.figures;
            return out.push(VenueReport::NotAmended(key, Amendment { quantity, limit, stop }, reason()));
        }
        _ => {}
    }
    let is_filled = fill(order, answer, out);
    // Whatever the venue says then: no more can come of an order that is done in full.
    if is_filled {
        return;
    }
    let has_left = matches!(order.status, OrderStatus::Submitted | OrderStatus::Pending) && out.is_empty();
    match answer.kind {
        AnswerKind::Accepted => accept(order, out),
        AnswerKind::Rejected if has_left => out.push(VenueReport::Rejected(key, reason())),
        AnswerKind::Canceled | AnswerKind::Rejected => out.push(VenueReport::Canceled(key, reason())),
        AnswerKind::Expired => {
            accept(order, out);
            out.push(VenueReport::Expired(key));
        }
        AnswerKind::Filled if is_all(order.filled, order) => out.push(VenueReport::Filled(key)),
        AnswerKind::Filled => {
            out.push(VenueReport::Canceled(key, "the venue says FILLED, and less was filled than ordered"))
        }
        AnswerKind::Amended | AnswerKind::NotAmended | AnswerKind::Held => {}
    }
}

/// Once an order stands, more may come of it.
fn accept(order: &Order, out: &mut Vec<VenueReport>) {
    if matches!(order.status, OrderStatus::Submitted | OrderStatus::Pending) && out.is_empty() {
        out.push(VenueReport::Accepted(order.key));
    }
}

fn is_all(filled: f64, order: &Order) -> bool {
    (filled - order.quantity).abs() <= order.quantity * WHOLE
}

/// The fill that was not known before; whether the order is done with it. One that still stands when all is filled that is known
/// of was made larger, and the answer that says so is on its way behind.
fn fill(order: &Order, answer: &Answer, out: &mut Vec<VenueReport>) -> bool {
    let key = order.key;
    let [filled, price, fee] = answer.figures;
    let is_whole = is_all(filled, order);
    // A venue that says a little more or less than all has rounded.
    let filled = if is_whole { order.quantity } else { filled };
    let quantity = filled - order.filled;
    if !(quantity > order.quantity * WHOLE && price.is_finite()) {
        return false;
    }
    let is_more = filled > order.quantity;
    let is_done = (is_whole || is_more) && answer.kind != AnswerKind::Accepted;
    let before = if order.filled == 0.0 { 0.0 } else { order.price * order.filled };
    let price = if order.filled == 0.0 { price } else { (price * filled - before) / quantity };
    let fee = if fee.is_finite() { fee - order.fee } else { 0.0 };
    accept(order, out);
    if is_more {
        // It has overtaken the answer that the order stands for more: what the venue has filled is held.
        let (limit, stop) = (order.terms.limit, order.terms.stop);
        out.push(VenueReport::Amended(key, Amendment { quantity: filled, limit, stop }));
    }
    out.push(VenueReport::Fill(VenueFill { order: key, quantity, price, fee, is_maker: false, is_done }));
    is_done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::Terms;

    fn order(status: OrderStatus, filled: f64) -> Order {
        let asked = Order::asked(OrderKey { strategy: 0, number: 1 }, 0, 2.0, Terms::limit(5.0));
        let price = if filled > 0.0 { 10.0 } else { f64::NAN };
        Order { status, filled, price, fee: filled, ..asked }
    }

    fn told(order: &Order, kind: AnswerKind, figures: [f64; 3]) -> Vec<String> {
        let mut out = Vec::new();
        reports_of(order, &Answer { kind, number: 1, figures, reason: "so".to_owned() }, &mut out);
        let name = |report: &VenueReport| match report {
            VenueReport::Fill(fill) => {
                format!("{} at {} for {}, {}", fill.quantity, fill.price, fill.fee, fill.is_done)
            }
            other => format!("{other:?}").split('(').next().unwrap_or_default().to_owned(),
        };
        out.iter().map(name).collect()
    }

    #[test]
    fn an_answer_makes_of_an_order_what_is_new() {
        use AnswerKind as Kind;
        use OrderStatus as Status;
        let none = [0.0, f64::NAN, 0.0];
        for (status, filled, kind, figures, expected) in [
            (Status::Submitted, 0.0, Kind::Accepted, none, &["Accepted"][..]),
            (Status::Accepted, 0.0, Kind::Accepted, none, &[]),
            (Status::Submitted, 0.0, Kind::Rejected, none, &["Rejected"]),
            (Status::Accepted, 0.0, Kind::Rejected, none, &["Canceled"]),
            (Status::Submitted, 0.0, Kind::Canceled, none, &["Canceled"]),
            (Status::Submitted, 0.0, Kind::Expired, none, &["Accepted", "Expired"]),
            (Status::Submitted, 0.0, Kind::Filled, [2.0, 10.0, 0.5], &["Accepted", "2 at 10 for 0.5, true"]),
            (Status::Submitted, 0.0, Kind::Accepted, [0.5, 10.0, 0.5], &["Accepted", "0.5 at 10 for 0.5, false"]),
            (Status::PartiallyFilled, 1.0, Kind::Filled, [2.0, 11.0, 1.5], &["1 at 12 for 0.5, true"]),
            (Status::PartiallyFilled, 1.0, Kind::Filled, [2.0 - 1e-12, 11.0, 1.5], &["1 at 12 for 0.5, true"]),
            // Again, or late.
            (Status::PartiallyFilled, 1.0, Kind::Accepted, [1.0, 10.0, 1.0], &[]),
            (Status::PartiallyFilled, 1.0, Kind::Accepted, none, &[]),
            (Status::Filled, 2.0, Kind::Canceled, none, &[]),
            // A part of it was filled, and not known yet.
            (
                Status::Submitted,
                0.0,
                Kind::Canceled,
                [1.0, 10.0, 0.0],
                &["Accepted", "1 at 10 for 0, false", "Canceled"],
            ),
            (Status::Accepted, 0.0, Kind::Filled, [1.0, 10.0, 0.0], &["1 at 10 for 0, false", "Canceled"]),
            // It stands for more, and the answer that says so was overtaken.
            (Status::Accepted, 0.0, Kind::Filled, [3.0, 10.0, 0.0], &["Amended", "3 at 10 for 0, true"]),
            // It is filled in parts, and stands when all that was known of is done.
            (Status::Accepted, 0.0, Kind::Accepted, [2.0, 10.0, 0.0], &["2 at 10 for 0, false"]),
            (Status::Accepted, 0.0, Kind::Accepted, [2.5, 10.0, 0.0], &["Amended", "2.5 at 10 for 0, false"]),
            (Status::PartiallyFilled, 2.0, Kind::Filled, [3.0, 10.0, 2.0], &["Amended", "1 at 10 for 0, true"]),
            (Status::PartiallyFilled, 2.0, Kind::Filled, [2.0, 10.0, 2.0], &["Filled"]),
            (Status::PartiallyFilled, 2.0, Kind::Canceled, [2.0, 10.0, 2.0], &["Canceled"]),
            (Status::Submitted, 0.0, Kind::Amended, [3.0, 10.0, f64::NAN], &["Accepted", "Amended"]),
            (Status::Accepted, 0.0, Kind::NotAmended, none, &["NotAmended"]),
        ] {
            assert_eq!(
                told(&order(status, filled), kind, figures),
                expected,
                "{status:?} {filled} {kind:?} {figures:?}"
            );
        }
    }
}
