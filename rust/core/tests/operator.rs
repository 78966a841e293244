//! An operator's socket: who may use it, what it refuses, and that trading halts while the loop hangs.

#![cfg(unix)]
#![expect(clippy::disallowed_methods, reason = "times how soon trading halts")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tickrail_core::command::{Command, CommandKind, Inbox, Lane, LaneSettings, Sender, lanes};
use tickrail_core::control::{Call, ControlServer, MAX_LINE, OpenOrders, Operator, View};
use tickrail_core::stop::{StopFlag, Waker};
use tickrail_core::trading::{GateFile, Trading, TradingGate, Unsent};

struct Rig {
    server: ControlServer,
    stop: Arc<StopFlag>,
    gate: Arc<TradingGate>,
    inbox: Inbox<Command>,
    sender: Sender<Command>,
    folder: PathBuf,
}

fn rig(name: &str) -> Rig {
    rig_with(name, Duration::from_secs(30))
}

fn rig_with(name: &str, request: Duration) -> Rig {
    let folder = std::env::temp_dir().join(format!("tickrail-control-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let gate = Arc::new(TradingGate::default());
    let stop = Arc::new(StopFlag::new());
    let (sender, inbox) =
        lanes(LaneSettings::default(), Arc::clone(&stop), Arc::new(Waker::new())).expect("powers of two");
    let file = GateFile::new(folder.join("trading"));
    let operator = Arc::new(Operator::new(
        "run-1".to_owned(),
        Arc::clone(&gate),
        Some(Arc::new(file)),
        sender.clone(),
        view(),
        open(),
    ));
    let server = ControlServer::open_with(folder.join("control.sock"), operator, request).unwrap();
    Rig { server, stop, gate, inbox, sender, folder }
}

impl Rig {
    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.server.path()).unwrap()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.server.close();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn ask(stream: &UnixStream, line: &str) -> Value {
    let mut writer = stream;
    // One that is too long is answered before all of it was read, and its end may find the connection closed.
    let _ = writer.write_all(format!("{line}\n").as_bytes());
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

fn view() -> View {
    Box::new(|| Ok(r#"{"ticks": 7}"#.to_owned()))
}

fn open() -> OpenOrders {
    Box::new(|| Map::from_iter([("ema".to_owned(), 3.into())]))
}

#[test]
fn the_socket_is_this_users_alone_and_is_gone_afterwards() {
    let mut rig = rig("mode");
    let path = rig.server.path().to_owned();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let answer = ask(&rig.connect(), r#"{"v":1,"do":"ping"}"#);
    assert_eq!(answer["result"]["trading"], "ACTIVE");
    assert_eq!(answer["run"], "run-1");
    rig.server.close();
    assert!(!path.exists());
}

#[test]
fn a_second_server_is_refused_and_a_dead_ones_socket_gives_way() {
    let rig = rig("second");
    let (sender, _inbox) = lanes(LaneSettings::default(), Arc::default(), Arc::default()).expect("powers of two");
    let operator = Arc::new(Operator::new("other".to_owned(), Arc::default(), None, sender, view(), open()));
    assert!(ControlServer::open(rig.server.path(), Arc::clone(&operator)).is_err());
    let dead = rig.folder.join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    assert!(dead.exists());
    ControlServer::open(&dead, operator).unwrap();
}

#[test]
fn requests_that_are_none_are_refused_and_the_next_one_is_served() {
    let rig = rig("refused");
    let stream = rig.connect();
    for (line, said) in [
        ("", "no JSON"),
        ("[1]", "JSON object"),
        (r#"{"do":"ping"}"#, "\"v\" is missing"),
        (r#"{"v":2,"do":"ping"}"#, "version 2"),
        (r#"{"v":1}"#, "\"do\" is missing"),
        (r#"{"v":1,"do":"ping","args":[]}"#, "\"args\""),
    ] {
        let answer = ask(&stream, line);
        assert_eq!(answer["reason"], "invalid_request", "{line}");
        assert!(answer["message"].as_str().unwrap().contains(said), "{answer}");
    }
    assert_eq!(ask(&stream, r#"{"v":1,"do":"ping"}"#)["ok"], true);
    let long = rig.connect();
    let answer = ask(&long, &"x".repeat(MAX_LINE as usize + 10));
    assert!(answer["message"].as_str().unwrap().contains("at most"), "{answer}");
}

#[test]
fn a_connection_too_many_is_told_so_and_one_that_ends_makes_room() {
    let rig = rig("many");
    let served: Vec<UnixStream> = (0..16).map(|_| rig.connect()).collect();
    for stream in &served {
        assert_eq!(ask(stream, r#"{"v":1,"do":"ping"}"#)["ok"], true);
    }
    let answer = ask(&rig.connect(), r#"{"v":1,"do":"ping"}"#);
    assert_eq!((&answer["reason"], &answer["run"]), (&"busy".into(), &"run-1".into()), "{answer}");
    let answer = ask(&rig.connect(), r#"{"v":1,"do":"halt","args":{"timeout_s":0.0}}"#);
    assert_eq!(answer["result"]["trading"], "HALTED", "for which there is a place always");
    // Those who say nothing keep such a place for a moment only, and one more is told at once.
    let silent: Vec<UnixStream> = (0..5).map(|_| rig.connect()).collect();
    for stream in &silent {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer["reason"], "busy", "{answer}");
    }
    drop(served);
    loop {
        let mut line = String::new();
        let stream = rig.connect();
        let _ = (&stream).write_all(b"{\"v\":1,\"do\":\"ping\"}\n");
        let _ = BufReader::new(&stream).read_line(&mut line);
        match serde_json::from_str::<Value>(&line) {
            Ok(answer) if answer["ok"] == true => break,
            _ => std::thread::yield_now(),
        }
    }
}

#[test]
fn halting_needs_no_loop_and_outlives_the_process() {
    let rig = rig("halt");
    let (gate, stream) = (Arc::clone(&rig.gate), rig.connect());
    let started = Instant::now();
    let watch = std::thread::spawn(move || {
        while gate.state() == Trading::Active {
            assert!(started.elapsed() < Duration::from_secs(30));
            std::thread::yield_now();
        }
        started.elapsed()
    });
    let answer = ask(&stream, r#"{"v":1,"do":"halt","args":{"reason":"flash crash","timeout_s":0.05}}"#);
    let took = watch.join().unwrap();
    assert!(took < Duration::from_secs(2), "{took:?}, on a machine under load");
    assert_eq!((&answer["ok"], &answer["result"]["trading"]), (&Value::Bool(true), &"HALTED".into()));
    assert_eq!(answer["result"]["persisted"], true);
    let waiting = answer["result"]["waiting"].as_str().unwrap();
    assert!(waiting.contains("has not answered") && !waiting.contains("outside"), "{answer}");
    assert_eq!(answer["result"]["open_orders"], json!({"ema": 3}), "which wait for the loop");
    let fresh = TradingGate::default();
    GateFile::new(rig.folder.join("trading")).load(&fresh).unwrap();
    assert_eq!((fresh.state(), &*fresh.kept().reason), (Trading::Halted, "flash crash"));
    let answer = ask(&stream, r#"{"v":1,"do":"halt","args":{"reduce":true,"timeout_s":0.0}}"#);
    assert_eq!(answer["result"]["trading"], "HALTED", "a halt is not weakened");
    assert_eq!(rig.gate.kept().reason, "flash crash", "and what gives no reason takes none away");
}

#[test]
fn a_halt_holds_whatever_else_was_said_and_tells_what_was_not_heeded() {
    let mut rig = rig("ignored");
    let line = r#"{"v":1,"do":"halt","args":{"reason":5,"reduce":"yes","who":"me","timeout_s":0.0}}"#;
    let answer = ask(&rig.connect(), line);
    assert_eq!((&answer["ok"], rig.gate.state()), (&Value::Bool(true), Trading::Halted));
    assert_eq!(answer["result"]["ignored"], json!(["reason", "reduce", "who"]));
    let command = taken(&mut rig.inbox);
    let asked: Value = serde_json::from_slice(&command.payload).unwrap();
    assert_eq!(asked, json!({"do": "halt", "args": {"timeout_s": 0.0}}), "which the loop can do");
}

#[test]
fn what_is_outside_is_asked_back_without_the_loop_and_the_answer_says_so() {
    let rig = rig("outside");
    let (gate, asked) = (Arc::clone(&rig.gate), Arc::new(AtomicU32::new(0)));
    let taken = Arc::clone(&asked);
    rig.gate.taken_back_by(move |_| {
        assert_eq!(gate.state(), Trading::Halted, "no order leaves any more by then");
        taken.fetch_add(1, Ordering::Relaxed);
        true
    });
    let answer = ask(&rig.connect(), r#"{"v":1,"do":"halt","args":{"timeout_s":0.05}}"#);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert!(answer["result"]["waiting"].as_str().unwrap().contains("at venues outside are asked back"), "{answer}");
}

#[test]
fn a_halt_waits_for_cancels_to_reach_their_venues_and_says_which_have_not() {
    let rig = rig("unsent");
    let looks = Arc::new(AtomicU32::new(0));
    let looked = Arc::clone(&looks);
    rig.gate.sent_by(move || {
        let cancels = if looked.fetch_add(1, Ordering::Relaxed) < 3 { 2 } else { 0 };
        Unsent { cancels, orders: 1, all: false }
    });
    let answer = ask(&rig.connect(), r#"{"v":1,"do":"halt","args":{"timeout_s":0.3}}"#);
    // The loop does not answer here, and takes all of the time: one look is left.
    assert_eq!(answer["result"]["unsent"], json!({"cancels": 2, "orders": 1}), "{answer}");
    let said = answer["result"]["waiting"].as_str().unwrap();
    assert!(said.contains("has not answered") && said.contains("have not reached their venues: 2;"), "{said}");
    looks.store(3, Ordering::Relaxed);
    let answer = ask(&rig.connect(), r#"{"v":1,"do":"halt","args":{"timeout_s":0.05}}"#);
    assert!(answer["result"].get("unsent").is_none(), "{answer}");
}

#[test]
fn other_requests_are_answered_by_the_loop_or_in_time() {
    let mut rig = rig("forward");
    let stream = rig.connect();
    let asked = std::thread::spawn(move || ask(&stream, r#"{"v":1,"do":"pause","args":{"strategy":"ema"}}"#));
    let command = loop {
        rig.inbox.refill();
        match rig.inbox.take() {
            Some((_, command)) => break command,
            None => std::thread::yield_now(),
        }
    };
    assert_eq!(&*command.payload, br#"{"args":{"strategy":"ema"},"do":"pause"}"#);
    let call = command.attachment.as_ref().and_then(|attachment| attachment.downcast_ref::<Call>()).unwrap();
    call.answer(r#"{"ok":true,"result":{"state":"PAUSED"}}"#.to_owned());
    assert_eq!(asked.join().unwrap()["result"]["state"], "PAUSED");

    let stream = rig.connect();
    let answer = ask(&stream, r#"{"v":1,"do":"status","args":{"timeout_s":0.02}}"#);
    assert_eq!((&answer["ok"], &answer["reason"]), (&Value::Bool(false), &"timeout".into()));
    assert!(answer["message"].as_str().unwrap().contains("is taken back, and will not be done"), "{answer}");
    assert_eq!(answer["request"], "taken_back");
    let asked = std::thread::spawn(move || ask(&stream, r#"{"v":1,"do":"status"}"#));
    loop {
        rig.inbox.refill();
        // The one that was given up is taken first; dropping a command tells its sender that the run is over.
        if rig.inbox.take().is_some_and(|(_, command)| !command.payload.windows(9).any(|part| part == b"timeout_s")) {
            break;
        }
        std::thread::yield_now();
    }
    assert_eq!(asked.join().unwrap()["reason"], "shutting_down");
}

/// The next command that comes.
fn taken(inbox: &mut Inbox<Command>) -> Command {
    loop {
        inbox.refill();
        match inbox.take() {
            Some((_, command)) => return command,
            None => std::thread::yield_now(),
        }
    }
}

fn call(command: &Command) -> &Call {
    command.attachment.as_ref().and_then(|attachment| attachment.downcast_ref::<Call>()).unwrap()
}

#[test]
fn a_request_that_nobody_waits_for_is_not_done_unless_it_has_begun_or_ends_the_run() {
    let mut rig = rig("late");
    let stream = rig.connect();
    // Not begun: it never will.
    for name in ["close", "cancel", "trade", "pause", "set"] {
        let answer = ask(&stream, &json!({"v": 1, "do": name, "args": {"timeout_s": 0.01}}).to_string());
        assert_eq!((&answer["reason"], &answer["request"]), (&"timeout".into(), &"taken_back".into()), "{answer}");
        assert!(!call(&taken(&mut rig.inbox)).begin(), "{name}");
    }
    // What stops something is done however late.
    for name in ["shutdown", "halt"] {
        let answer = ask(&stream, &json!({"v": 1, "do": name, "args": {"timeout_s": 0.01}}).to_string());
        let said = &answer["result"]["waiting"];
        assert!(said.as_str().unwrap().contains("once the loop goes on, it is done"), "{answer}");
        let command = taken(&mut rig.inbox);
        assert!(call(&command).begin() && call(&command).begin(), "{name}");
    }
    // Begun, and not answered in time.
    let asked = std::thread::spawn({
        let stream = stream.try_clone().unwrap();
        move || ask(&stream, r#"{"v":1,"do":"stop","args":{"timeout_s":0.5}}"#)
    });
    let command = taken(&mut rig.inbox);
    assert!(call(&command).begin());
    let answer = asked.join().unwrap();
    assert_eq!((&answer["reason"], &answer["request"]), (&"timeout".into(), &"begun".into()));
    assert!(answer["message"].as_str().unwrap().contains("'status' says what came of it"), "{answer}");
    call(&command).answer("{}".to_owned());
}

#[test]
fn a_shutdown_is_a_command_where_the_loop_goes_on_and_stops_it_as_a_signal_does_where_it_does_not() {
    let mut rig = rig("shutdown");
    let stream = rig.connect();
    let asked = |more: &str| {
        let (stream, line) = (stream.try_clone().unwrap(), format!(r#"{{"v":1,"do":"shutdown","args":{{{more}}}}}"#));
        std::thread::spawn(move || ask(&stream, &line))
    };
    // It goes on: what it says is the answer.
    let taken_at_once = asked(r#""timeout_s":30"#);
    call(&taken(&mut rig.inbox)).answer(r#"{"ok":true,"result":{"stopping":true}}"#.to_owned());
    let answer = taken_at_once.join().unwrap();
    assert_eq!(answer["result"], json!({"stopping": true}), "{answer}");
    // It does not, and is stopped long before anybody's patience is at its end; the command still has its turn.
    let late = asked(r#""timeout_s":30"#);
    let began = Instant::now();
    while !rig.stop.is_set() {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    call(&taken(&mut rig.inbox)).answer(r#"{"ok":true,"result":{"stopping":true}}"#.to_owned());
    assert_eq!(late.join().unwrap()["result"], json!({"stopping": true}));
    // Or never has: that it is told to stop is the answer.
    let answer = asked(r#""timeout_s":0.2,"reason":"enough""#).join().unwrap();
    assert_eq!(
        (&answer["result"]["stopping"], &answer["result"]["reason"]),
        (&true.into(), &"enough".into()),
        "{answer}"
    );
    assert!(answer["result"]["waiting"].as_str().unwrap().contains("its end is bounded from now on"), "{answer}");
}

#[test]
fn a_shutdown_that_finds_no_room_stops_the_run_and_one_that_comes_later_is_as_good() {
    let rig = rig("no-room");
    let stream = rig.connect();
    let shutdown = r#"{"v":1,"do":"shutdown","args":{"timeout_s":0.2}}"#;
    while rig.sender.push(Lane::Control, Command::new(CommandKind::OPERATOR, 0, Vec::new())).is_ok() {}
    let answer = ask(&stream, shutdown);
    assert!(answer["result"]["waiting"].as_str().unwrap().contains("too many commands wait"), "{answer}");
    assert!(rig.stop.is_set());
    rig.inbox.close();
    let answer = ask(&stream, shutdown);
    let already = json!({"stopping": true, "already": "its end had begun before, and goes on"});
    assert_eq!((&answer["ok"], &answer["result"]), (&true.into(), &already));
    assert_eq!(ask(&stream, r#"{"v":1,"do":"pause"}"#)["reason"], "shutting_down", "anything else is refused");
}

#[test]
fn of_a_halt_that_could_not_be_kept_at_first_the_loops_word_is_the_last() {
    let mut rig = rig("unkept");
    std::fs::create_dir(rig.folder.join("trading")).unwrap(); // where the file belongs
    let stream = rig.connect();
    let halt = r#"{"v":1,"do":"halt","args":{"timeout_s":30}}"#;
    let asked = std::thread::spawn(move || ask(&stream, halt));
    call(&taken(&mut rig.inbox)).answer(r#"{"ok":true,"result":{"persisted":true}}"#.to_owned());
    let answer = asked.join().unwrap();
    assert_eq!(answer["result"], json!({"trading": "HALTED", "persisted": true}));
    let answer = ask(&rig.connect(), &halt.replace("30", "0.1"));
    assert_eq!(answer["result"]["persisted"], false);
    assert!(answer["result"]["problem"].as_str().unwrap().contains("trading"), "{answer}");
}

#[test]
fn a_request_has_its_time_as_a_whole_and_a_drip_keeps_no_connection() {
    let limit = Duration::from_millis(300);
    let rig = rig_with("drip", limit);
    let began = Instant::now();
    let drips: Vec<_> = (0..16).map(|_| rig.connect()).collect();
    // All places are taken, by whoever says a byte now and then.
    let dripped = drips.iter().map(|stream| {
        let mut writer = stream.try_clone().unwrap();
        std::thread::spawn(move || {
            while writer.write_all(b" ").is_ok() && began.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(limit / 10);
            }
            began.elapsed()
        })
    });
    let dripped: Vec<_> = dripped.collect();
    let one_more = loop {
        let answer = ask(&rig.connect(), r#"{"v":1,"do":"ping"}"#);
        if answer["ok"] == true {
            break began.elapsed();
        }
        assert_eq!(answer["reason"], "busy");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(one_more < Duration::from_secs(15), "served after {one_more:?}");
    for thread in dripped {
        let took = thread.join().unwrap();
        assert!((limit..Duration::from_secs(15)).contains(&took), "closed after {took:?}");
    }
}

#[test]
fn who_asks_now_and_then_has_as_long_for_each_request_and_for_what_is_said_in_pieces() {
    let limit = Duration::from_millis(1_500);
    let rig = rig_with("pieces", limit);
    let stream = rig.connect();
    for _ in 0..4 {
        std::thread::sleep(limit / 3);
        let mut writer = &stream;
        writer.write_all(br#"{"v":1,"#).unwrap();
        std::thread::sleep(limit / 20);
        assert_eq!(ask(&stream, r#""do":"ping"}"#)["ok"], true);
    }
}
