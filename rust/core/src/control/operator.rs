//! What an operator asks for, and what is done about it without the loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::server::MAX_LINE;
use crate::command::{Command, CommandKind, Lane, NO_STRATEGY, Sender};
use crate::ring::NotTaken;
use crate::trading::{Change, GateFile, TakeBack, Trading, TradingGate};

/// Version of the protocol: `"v"` of every request and answer.
pub const PROTOCOL_VERSION: u64 = 1;

/// How long the loop may take to answer, unless the request says how long it waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest that a request may wait.
const MAX_PATIENCE: Duration = Duration::from_secs(300);
/// How long a halt waits to learn what became of open orders: orders are stopped before that.
const HALT_PATIENCE: Duration = Duration::from_secs(1);
/// How often a halt looks whether cancels have reached their venues.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long a shutdown waits for the loop to take it as a command of the run, before the loop is stopped as by a signal.
const SHUTDOWN_PATIENCE: Duration = Duration::from_millis(100);

const ONCE_IT_GOES_ON: &str = "The request waits: once the loop goes on, it is done";
const FULL: &str = "too many commands wait";
const ENDED: &str = "the run ended before the command had its turn";

/// A request on its way to whoever handles it on the dispatch thread; the command's payload is its text.
#[derive(Clone, Debug)]
pub struct Call {
    reply: SyncSender<String>,
    turn: Arc<Turn>,
}

/// Whether a request has had its turn, or was taken back before: one of both, whoever comes first.
///
/// AcqRel; partner: the other exchange. It decides who of both goes on, and guards nothing else.
#[derive(Debug, Default)]
struct Turn(AtomicU8);

const WAITS: u8 = 0;
const BEGUN: u8 = 1;
const TAKEN_BACK: u8 = 2;

impl Turn {
    /// Whether it is `to` now, and was not the other.
    fn becomes(&self, to: u8) -> bool {
        match self.0.compare_exchange(WAITS, to, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(now) => now == to,
        }
    }
}

impl Call {
    /// It has its turn; whether it is still wanted. One that was taken back, as whoever asked was told, is no input of the run.
    pub fn begin(&self) -> bool {
        self.turn.becomes(BEGUN)
    }

    /// Answers with a JSON object. Whoever asked may be gone.
    pub fn answer(&self, text: String) {
        let _ = self.reply.try_send(text);
    }
}

/// How a run is doing, as a JSON object: asked on the threads of the socket, and so without the loop.
pub type View = Box<dyn Fn() -> Result<String, String> + Send + Sync>;

/// How many orders are open, by strategy: asked likewise, and so while a handler keeps the interpreter.
pub type OpenOrders = Box<dyn Fn() -> Map<String, Value> + Send + Sync>;

/// Answers the requests of one run.
pub struct Operator {
    gate: Arc<TradingGate>,
    file: Option<Arc<GateFile>>,
    sender: Sender<Command>,
    run: String,
    view: View,
    open: OpenOrders,
}

impl Operator {
    /// The operator of the run called `run`; `file` keeps the state of trading over restarts.
    pub fn new(
        run: String,
        gate: Arc<TradingGate>,
        file: Option<Arc<GateFile>>,
        sender: Sender<Command>,
        view: View,
        open: OpenOrders,
    ) -> Self {
        Self { gate, file, sender, run, view, open }
    }

    /// The answer to one line.
    pub fn answer(&self, line: &[u8]) -> String {
        let answer = match request(line) {
            Err(error) => refusal("invalid_request", &error),
            Ok((name, arguments)) => match name.as_str() {
                "ping" => done(json!({"trading": self.gate.state().name()})),
                "stats" => self.stats(),
                "halt" => self.halt(&arguments),
                "shutdown" => self.shutdown(&arguments),
                // What somebody meant who gave up waiting may be wrong by the time that the loop goes on; an end is not.
                _ => self.forward(&name, &arguments, patience(&arguments), Late::IsTakenBack),
            },
        };
        self.signed(answer)
    }

    /// Whether the line asks for a halt.
    pub fn is_halt(line: &[u8]) -> bool {
        request(line).is_ok_and(|(name, _)| name == "halt")
    }

    /// The answer to a line without end.
    pub fn refuse_length(&self) -> String {
        self.signed(refusal(
            "invalid_request",
            &format!("a request has at most {MAX_LINE} bytes, and ends with a line feed"),
        ))
    }

    /// The answer to a connection too many.
    pub fn refuse_connection(&self, most: u32) -> String {
        self.signed(refusal("busy", &format!("{most} connections are served already, and that is the most at once")))
    }

    fn signed(&self, mut answer: Map<String, Value>) -> String {
        answer.insert("v".to_owned(), PROTOCOL_VERSION.into());
        answer.insert("run".to_owned(), self.run.clone().into());
        Value::Object(answer).to_string()
    }

    /// Looking on is no input of the run.
    fn stats(&self) -> Map<String, Value> {
        match (self.view)().map(|text| serde_json::from_str(&text)) {
            Ok(Ok(Value::Object(mut stats))) => {
                stats.insert("trading".to_owned(), self.gate.state().name().into());
                done(Value::Object(stats))
            }
            Ok(_) => refusal("failed", "the counters could not be told"),
            Err(why) => refusal("failed", &why),
        }
    }

    /// Orders are stopped first, and taken back as far as that needs no loop; what the loop has to do follows.
    fn halt(&self, arguments: &Map<String, Value>) -> Map<String, Value> {
        let reduce = arguments.get("reduce").and_then(Value::as_bool).unwrap_or(false);
        let state = if reduce { Trading::Reducing } else { Trading::Halted };
        let reason = arguments.get("reason").and_then(Value::as_str).unwrap_or_default();
        let before = self.gate.state();
        // A halt is never weakened by a later wish to reduce.
        if before != Trading::Halted {
            self.gate.set(state);
        }
        let are_asked_for = self.gate.take_back(TakeBack::All);
        if before != self.gate.state() || !reason.is_empty() {
            self.gate.keep(|kept| reason.clone_into(&mut kept.reason));
        }
        let kept = self.file.as_ref().map(|file| file.save(&self.gate, &Change::Halted));
        let (began, within) = (now(), HALT_PATIENCE.min(patience(arguments)));
        let (heeded, ignored) = heeded_of_halt(arguments);
        let loop_says = self.forward("halt", &heeded, within, Late::IsDone);
        let mut result = json!({"trading": self.gate.state().name(), "persisted": matches!(kept, Some(Ok(())))});
        if !ignored.is_empty() {
            result["ignored"] = ignored.into();
        }
        if let Some(Err(error)) = kept {
            result["problem"] = error.to_string().into();
        }
        match loop_says.get("result").and_then(Value::as_object) {
            Some(more) => {
                let result = result.as_object_mut().expect("made above");
                // The loop has written once more, and its word is the last.
                result.remove("problem");
                result.extend(more.clone());
            }
            None => {
                let why = loop_says.get("message").and_then(Value::as_str).unwrap_or("no answer");
                let asked = if are_asked_for { "; those at venues outside are asked back without it" } else { "" };
                result["waiting"] = format!("open orders are not taken back yet: {why}{asked}").into();
                result["open_orders"] = (self.open)().into();
            }
        }
        self.tell_unsent(&mut result, began, within);
        done(result)
    }

    /// What the I/O thread has not sent within the time of a halt: the loop's word that orders are taken back is not the
    /// venue's.
    fn tell_unsent(&self, result: &mut Value, began: Instant, within: Duration) {
        let mut unsent = self.gate.unsent();
        while unsent.has_cancels() && began.elapsed() < within {
            pause();
            unsent = self.gate.unsent();
        }
        if !unsent.has_cancels() {
            return;
        }
        let all = if unsent.all { ", and the request to take back whatever is open" } else { "" };
        let mut said = format!(
            "cancels have not reached their venues: {}{all}; the I/O thread sends them once it goes on and a venue hears it",
            unsent.cancels
        );
        if let Some(before) = result["waiting"].as_str() {
            said = format!("{before}; {said}");
        }
        result["waiting"] = said.into();
        result["unsent"] = json!({"cancels": unsent.cancels, "orders": unsent.orders});
    }

    /// A loop that goes on takes it between two steps, as a command that is recorded. One that does not is stopped as by a
    /// signal: what bounds the end, and breaks a handler off that hangs, begins with that and not with the handler's return.
    fn shutdown(&self, arguments: &Map<String, Value>) -> Map<String, Value> {
        let (whole, sent) = (patience(arguments), self.send("shutdown", arguments));
        let first = SHUTDOWN_PATIENCE.min(whole);
        let why = match &sent {
            Ok((answer, _)) => match answer.recv_timeout(first) {
                Ok(text) => return understood(&text),
                Err(RecvTimeoutError::Disconnected) => return stops_already(),
                Err(RecvTimeoutError::Timeout) => {
                    self.sender.request_stop();
                    match answer.recv_timeout(whole - first) {
                        Ok(text) => return understood(&text),
                        Err(RecvTimeoutError::Timeout) => hangs(whole, ONCE_IT_GOES_ON),
                        Err(RecvTimeoutError::Disconnected) => return stops_already(),
                    }
                }
            },
            Err(NotTaken::Closed(())) => return stops_already(),
            Err(NotTaken::Full(())) => {
                self.sender.request_stop();
                FULL.to_owned()
            }
        };
        let reason = arguments.get("reason").and_then(Value::as_str).unwrap_or_default();
        let waiting = format!("the run is told to stop, and its end is bounded from now on: {why}");
        done(json!({"stopping": true, "reason": reason, "waiting": waiting}))
    }

    fn forward(
        &self,
        name: &str,
        arguments: &Map<String, Value>,
        patience: Duration,
        late: Late,
    ) -> Map<String, Value> {
        match self.send(name, arguments) {
            Ok((answer, turn)) => wait(&answer, patience, &turn, late),
            Err(NotTaken::Full(())) => full(),
            Err(NotTaken::Closed(())) => closed(),
        }
    }

    /// Where the loop will answer, and the request's turn.
    fn send(&self, name: &str, arguments: &Map<String, Value>) -> Result<(Receiver<String>, Arc<Turn>), NotTaken<()>> {
        let (reply, answer) = sync_channel(1);
        let turn = Arc::new(Turn::default());
        let text = json!({"do": name, "args": arguments}).to_string();
        let command = Command::new(CommandKind::OPERATOR, NO_STRATEGY, text.into_bytes())
            .with(Call { reply, turn: Arc::clone(&turn) });
        match self.sender.push(Lane::Control, command) {
            Ok(()) => Ok((answer, turn)),
            Err(NotTaken::Full(_)) => Err(NotTaken::Full(())),
            Err(NotTaken::Closed(_)) => Err(NotTaken::Closed(())),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "bounds how long an operator waits; no decision of the run sees it")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "on a thread of the socket, which nobody else waits for")]
fn pause() {
    std::thread::sleep(LOOK_EVERY);
}

/// What becomes of a request that nobody waits for any more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Late {
    /// It is done all the same.
    IsDone,
    /// It is taken back, unless it has begun.
    IsTakenBack,
}

fn wait(answer: &Receiver<String>, patience: Duration, turn: &Turn, late: Late) -> Map<String, Value> {
    match answer.recv_timeout(patience) {
        Ok(text) => understood(&text),
        Err(RecvTimeoutError::Timeout) => {
            let (outcome, message) = match late {
                Late::IsDone => ("waits", hangs(patience, ONCE_IT_GOES_ON)),
                Late::IsTakenBack if turn.becomes(TAKEN_BACK) => {
                    ("taken_back", hangs(patience, "The request is taken back, and will not be done"))
                }
                Late::IsTakenBack => match answer.try_recv() {
                    Ok(text) => return understood(&text),
                    Err(_) => ("begun", goes_on(patience)),
                },
            };
            let mut refusal = refusal("timeout", &message);
            refusal.insert("request".to_owned(), outcome.into());
            refusal
        }
        Err(RecvTimeoutError::Disconnected) => ended(),
    }
}

fn understood(text: &str) -> Map<String, Value> {
    match serde_json::from_str(text) {
        Ok(Value::Object(answer)) => answer,
        _ => refusal("failed", "the handler gave no answer that could be understood"),
    }
}

fn request(line: &[u8]) -> Result<(String, Map<String, Value>), String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| format!("this is no JSON: {error}"))?;
    let Value::Object(mut request) = value else { return Err("a request is a JSON object".to_owned()) };
    match request.get("v").and_then(Value::as_u64) {
        Some(PROTOCOL_VERSION) => {}
        Some(other) => return Err(format!("version {other} of the protocol; this run speaks {PROTOCOL_VERSION}")),
        None => return Err(format!("\"v\" is missing: {PROTOCOL_VERSION} is the version of the protocol")),
    }
    let Some(Value::String(name)) = request.remove("do") else {
        return Err("\"do\" is missing: what to do".to_owned());
    };
    match request.remove("args") {
        None => Ok((name, Map::new())),
        Some(Value::Object(arguments)) => Ok((name, arguments)),
        Some(_) => Err("\"args\" is no JSON object".to_owned()),
    }
}

/// What the loop can understand of a halt, and what else was said: a stop does not fail for a field that is wrong.
fn heeded_of_halt(arguments: &Map<String, Value>) -> (Map<String, Value>, Vec<String>) {
    let is_heeded = |(name, value): &(&String, &Value)| match name.as_str() {
        "reason" => value.is_string(),
        "reduce" => value.is_boolean(),
        "timeout_s" => value.is_number(),
        _ => false,
    };
    let (heeded, ignored): (Vec<_>, Vec<_>) = arguments.iter().partition(is_heeded);
    let ignored = ignored.into_iter().map(|(name, _)| name.clone()).collect();
    (heeded.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect(), ignored)
}

fn patience(arguments: &Map<String, Value>) -> Duration {
    let wanted = arguments.get("timeout_s").and_then(Value::as_f64).filter(|seconds| *seconds >= 0.0);
    wanted.map_or(PATIENCE, |seconds| Duration::from_secs_f64(seconds.min(MAX_PATIENCE.as_secs_f64())))
}

fn done(result: Value) -> Map<String, Value> {
    Map::from_iter([("ok".to_owned(), true.into()), ("result".to_owned(), result)])
}

fn hangs(patience: Duration, then: &str) -> String {
    format!("the loop has not answered within {} s; a handler may hang. {then}", patience.as_secs_f64())
}

/// The loop has taken the request: whether a handler hangs, or orders are waited for, is not known here.
fn goes_on(patience: Duration) -> String {
    let within_s = patience.as_secs_f64();
    format!(
        "the request has begun, is not done within {within_s} s and goes on, as orders are awaited or a handler hangs; \
         'status' says what came of it"
    )
}

fn full() -> Map<String, Value> {
    refusal("lane_full", FULL)
}

fn ended() -> Map<String, Value> {
    refusal("shutting_down", ENDED)
}

/// The answer to a shutdown that comes once the end has begun: what it wants is on its way, and its reason comes too late.
fn stops_already() -> Map<String, Value> {
    done(json!({"stopping": true, "already": "its end had begun before, and goes on"}))
}

fn closed() -> Map<String, Value> {
    refusal("shutting_down", "the run takes no more commands")
}

fn refusal(reason: &str, message: &str) -> Map<String, Value> {
    let entry = |key: &str, value: Value| (key.to_owned(), value);
    Map::from_iter([entry("ok", false.into()), entry("reason", reason.into()), entry("message", message.into())])
}
