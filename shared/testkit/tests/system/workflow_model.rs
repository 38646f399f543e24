//! The engine against its specification: random graphs, and ends of their tasks in random order, in batches, some of them told
//! twice, go to the database and to `workflow::Run`; after each, both must say the same of every node.
//!
//! This test fails with `FAILPOINTS=break.aggregate=return` (three ends of one batch count as one) and with
//! `FAILPOINTS=break.count-once=return` (ends that were reported count, and not those that the transaction made).

use std::time::{Duration, Instant};

use caraway_shared::{
    config::{Schema, prepare},
    store::{
        Store, StoreConfig, Writer,
        tasks::{Cancelled, RecordRow, Recorded},
        workflows::{Created, Follow, Member, NewWorkflow, Steps},
    },
    task::{Epoch, Extra, Outcome, OwnerId, Priority, RetryPolicy, Start, State, TaskError, TaskId, TaskSpec},
    workflow::{Draft, Kind, OnDependencyFailure, Options, Place as NodePlace, Plan, Run, When, WorkflowState},
};
use caraway_testkit::{Database, Place, Stack};
use uuid::Uuid;

const GRAPHS: u64 = 60;
const WHENS: [When; 3] = [When::Succeeded, When::Failed, When::Finished];
const FORMS: [OnDependencyFailure; 3] =
    [OnDependencyFailure::Cancel, OnDependencyFailure::Run, OnDependencyFailure::Ignore];

/// Numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % end.max(1)
    }
}

/// The database and the writer that a worker has.
struct Engine {
    store: Store,
    database: Database,
    steps: Writer<Steps>,
}

impl Engine {
    async fn start(name: &str) -> (Self, Place, Stack) {
        let stack = Stack::shared().await;
        let place = Place::on(&stack, name).await;
        let config = StoreConfig { url: place.servers().postgres_url.clone(), application: "model", connections: 2 };
        let store = Store::new(&config).expect("a store");
        prepare(&store, Schema::Migrate, None).await.expect("the database can be prepared");
        let steps = Steps { offer: Box::new(|_| ()), announce: Box::new(|_| ()) };
        let steps = Writer::start(&store, steps);
        (Self { store, database: place.database().await, steps }, place, stack)
    }

    async fn create(&self, plan: &Plan, options: Options) -> (Uuid, Vec<TaskId>) {
        let id = Uuid::now_v7();
        let new = NewWorkflow {
            id,
            owner: OwnerId::LOCAL,
            kind: Kind::Workflow,
            fail_fast: options.fail_fast,
            return_exceptions: false,
            max_in_flight: options.max_in_flight.and_then(|max| i32::try_from(max).ok()),
            plan: plan.clone(),
            tasks: plan.nodes.iter().map(|_| task()).collect(),
        };
        let created = self.store.create_workflow(new, None).await.expect("it is created");
        assert!(matches!(created, Created::Fresh(..)));
        (id, plan.nodes.iter().map(|node| TaskId::derived(id, &node.key)).collect())
    }

    /// A claim, as far as this test needs one.
    async fn run(&self, tasks: &[TaskId]) {
        let ids: Vec<Uuid> = tasks.iter().map(|task| task.0).collect();
        let sql = "UPDATE task_run SET state = 'running', epoch = epoch + 1 WHERE id = ANY($1) AND state = 'queued'";
        let changed = self.database.execute(sql, &[&ids]).await.expect("the statement works");
        assert_eq!(usize::try_from(changed).ok(), Some(tasks.len()), "all of them were queued");
    }

    async fn record(&self, ends: &[(Member, TaskId, State)]) -> Vec<Recorded> {
        let row = |(member, id, state): &(Member, TaskId, State)| RecordRow {
            id: *id,
            epoch: Epoch(1),
            outcome: match state {
                State::Succeeded => Outcome::Succeed("1".into()),
                State::Failed => Outcome::Fail(TaskError::new("no", "no")),
                _ => Outcome::Cancel,
            },
            progress: None,
            member: Some(*member),
            follow: Follow::default(),
        };
        self.steps.write(ends.iter().map(row).collect()).await.expect("it is written")
    }

    async fn states(&self, workflow: Uuid) -> Vec<State> {
        let nodes = self.store.show_nodes(workflow, 0, 1000).await.expect("they are there");
        nodes.into_iter().map(|node| node.state.expect("its task is there")).collect()
    }
}

fn task() -> TaskSpec {
    TaskSpec {
        id: TaskId(Uuid::now_v7()),
        owner: OwnerId::LOCAL,
        name: "x".parse().expect("a name"),
        version: 1,
        queue: "x".parse().expect("a name"),
        priority: Priority::default(),
        input: "{}".into(),
        max_attempts: 1,
        retry: RetryPolicy::default(),
        timeout: None,
        start: Start::Now,
        traceparent: None,
        extra: Extra::default(),
    }
}

fn random_plan(dice: &mut Dice) -> Plan {
    let nodes = 1 + dice.below(14);
    let draft = |index: usize| {
        let mut depends_on: Vec<(String, When)> = Vec::new();
        for _ in 0..dice.below(4).min(index) {
            let before = dice.below(index).to_string();
            if depends_on.iter().all(|(key, _)| *key != before) {
                depends_on.push((before, WHENS[dice.below(3)]));
            }
        }
        let (form, tolerated) = (FORMS[dice.below(3)], dice.below(4) == 0);
        Draft { key: index.to_string(), depends_on, on_dependency_failure: form, tolerated }
    };
    Plan::new((0..nodes).map(draft).collect()).expect("a graph")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_does_what_its_specification_says() {
    let _broken_rules = fail::FailScenario::setup(); // those that FAILPOINTS names, for a control
    let (engine, _place, _stack) = Engine::start("model").await;
    let mut ends = 0;
    for seed in 0..GRAPHS {
        ends += one_graph(&engine, seed).await;
    }
    println!("model: {GRAPHS} graphs, {ends} batches of ends, and both agree");
    let open = "SELECT count(*) FROM workflow WHERE state = 'running' OR open <> 0 OR finished_at IS NULL";
    assert_eq!(engine.database.number(open).await, 0);
}

async fn one_graph(engine: &Engine, seed: u64) -> usize {
    let mut dice = Dice(seed.wrapping_mul(7919) + 1);
    let plan = random_plan(&mut dice);
    let max_in_flight = [None, None, Some(1), Some(2)][dice.below(4)];
    let options = Options { fail_fast: dice.below(3) == 0, max_in_flight };
    let (workflow, tasks) = engine.create(&plan, options).await;
    let (mut run, step) = Run::begin(&plan, options);
    let mut finished = step.finished;
    let mut batches = 0;
    while run.open() > 0 {
        let says = compare(engine, workflow, &plan, &mut run, &mut finished, seed).await;
        let in_flight: Vec<usize> = (0..tasks.len()).filter(|node| says[*node] == State::Queued).collect();
        if run.open() == 0 {
            break;
        }
        assert!(!in_flight.is_empty(), "seed {seed}: nothing can go on: {says:?}");
        match dice.below(12) {
            0 => {
                engine.store.cancel_workflow(OwnerId::LOCAL, workflow).await.expect("it is cancelled");
                finished = finished.or(run.cancel().finished);
            }
            1 => {
                let node = dice.below(tasks.len());
                if let Cancelled::Now = engine.store.cancel_task(OwnerId::LOCAL, tasks[node]).await.expect("an answer")
                {
                    finished = finished.or(run.advance(node, State::Cancelled).finished);
                }
            }
            _ => {
                let many = if max_in_flight.is_some() { 1 } else { 1 + dice.below(4) };
                let chosen: Vec<usize> = in_flight.into_iter().filter(|_| dice.below(3) > 0).take(many).collect();
                let state = |dice: &mut Dice| {
                    [State::Succeeded, State::Succeeded, State::Failed, State::Cancelled][dice.below(4)]
                };
                let ends: Vec<(usize, State)> = chosen.into_iter().map(|node| (node, state(&mut dice))).collect();
                end_all(engine, workflow, &tasks, &ends).await;
                for (node, state) in ends {
                    finished = finished.or(run.advance(node, state).finished);
                }
            }
        }
        batches += 1;
    }
    compare(engine, workflow, &plan, &mut run, &mut finished, seed).await;
    let shown = engine.store.show_workflow(OwnerId::LOCAL, workflow).await.expect("an answer").expect("it is there");
    assert_eq!((Some(shown.state), shown.counts.open), (finished, 0), "seed {seed}");
    assert_ne!(shown.state, WorkflowState::Running);
    batches
}

/// Told once, and then again with the same epoch and another result, as a batch whose answer was lost.
async fn end_all(engine: &Engine, workflow: Uuid, tasks: &[TaskId], ends: &[(usize, State)]) {
    let member = |node: usize| Member { workflow, node: i32::try_from(node).unwrap_or(0) };
    let rows: Vec<_> = ends.iter().map(|(node, state)| (member(*node), tasks[*node], *state)).collect();
    if rows.is_empty() {
        return;
    }
    engine.run(&rows.iter().map(|row| row.1).collect::<Vec<_>>()).await;
    assert!(engine.record(&rows).await.iter().all(|recorded| matches!(recorded, Recorded::Done(_))));
    assert!(engine.record(&rows).await.iter().all(|recorded| *recorded == Recorded::Refused), "a replay does nothing");
}

/// That both say the same of every node. What the engine has cancelled before it started, the model is told now.
async fn compare(
    engine: &Engine,
    workflow: Uuid,
    plan: &Plan,
    run: &mut Run<'_>,
    finished: &mut Option<WorkflowState>,
    seed: u64,
) -> Vec<State> {
    let states = engine.states(workflow).await;
    for (node, state) in states.iter().enumerate() {
        if *state == State::Cancelled && run.place(node) == Some(NodePlace::Released) {
            *finished = finished.or(run.advance(node, State::Cancelled).finished);
        }
    }
    for (node, state) in states.iter().enumerate() {
        let expected = match run.place(node) {
            Some(NodePlace::Waiting | NodePlace::Held) => State::Waiting,
            Some(NodePlace::Released) => State::Queued,
            Some(NodePlace::Ended(state)) => state,
            None => panic!("no such node"),
        };
        assert_eq!(*state, expected, "seed {seed}, node {node}, of {plan:#?}; the engine says {states:?}");
    }
    states
}

/// How long it takes to record ten ends in a group of ten, and in one of `large`: medians, taken in turn over the same tables.
pub(crate) async fn costs_of_ends(large: usize) -> (Duration, Duration) {
    const ROUNDS: usize = 100;
    const ENDS: usize = 10;
    let (engine, _place, _stack) = Engine::start("group-cost").await;
    let draft = |index: usize| Draft {
        key: index.to_string(),
        depends_on: Vec::new(),
        on_dependency_failure: OnDependencyFailure::Cancel,
        tolerated: false,
    };
    let plan = |children: usize| Plan::new((0..children).map(draft).collect()).expect("a graph");
    let of = |(workflow, tasks): (Uuid, Vec<TaskId>)| {
        let member = |node: usize| Member { workflow, node: i32::try_from(node).unwrap_or(0) };
        tasks.into_iter().enumerate().map(|(node, task)| (member(node), task, State::Succeeded)).collect::<Vec<_>>()
    };
    let mut small = Vec::new();
    for _ in 0..ROUNDS {
        small.extend(of(engine.create(&plan(ENDS), Options::default()).await));
    }
    let large = of(engine.create(&plan(large), Options::default()).await);
    let mut times = [Vec::new(), Vec::new()];
    for parts in small.chunks(ENDS).zip(large.chunks(ENDS)) {
        for (part, times) in [parts.0, parts.1].into_iter().zip(&mut times) {
            engine.run(&part.iter().map(|end| end.1).collect::<Vec<_>>()).await;
            let began = Instant::now();
            engine.record(part).await;
            times.push(began.elapsed());
        }
    }
    let [small, large] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    (small, large)
}
