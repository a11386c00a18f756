//! Random requests to `/v2/keys` over a few paths, so that they get in each other's way.
//!
//! Equal seeds give equal requests, as long as the answers are equal. Values are never numbers, so
//! that a number in the cause of a refusal is an index.

use std::collections::HashMap;

use fastrand::Rng;

use crate::request::{Request, index_of, name_of};

/// Everything happens below here.
pub(crate) const ROOT: &str = "/v2/keys/p";

const PATHS: &[&str] = &[
    "/a", "/b", "/a/x", "/a/y", "/d", "/d/e", "/d/e/f", "/d/e/g", "/_h", "/_h/k", "/d/_g",
    "/d/_g/z", "/q", "/%c3%a9", "/s%20p", "/d/", "/d/e/./f", "/a//x", "/d/../b", "/A", "", "/",
];
const VALUES: &[&str] = &[
    "one",
    "two",
    "three",
    "",
    "%3Ca%3E%26%22%5C",
    "%ff%fe%e2%82",
    "%e2%80%a8+tab%09",
    "a%0db%0ac%00d%7f",
    "%f0%9f%98%80",
];
const TTLS: &[&str] = &["1000", "5000", "100000", "7000000000", ""];
const BOOLEANS: &[&str] = &["true", "1", "T", "false", "0", "F", "TRUE"];
const PARAMETERS: &[&str] = &[
    "recursive",
    "sorted",
    "wait",
    "dir",
    "quorum",
    "stream",
    "noValueOnSuccess",
    "prevIndex",
    "waitIndex",
    "prevValue",
    "prevExist",
    "refresh",
    "ttl",
    "value",
];
const BAD_VALUES: &[&str] = &[
    "",
    "x",
    "-1",
    "%2b1",
    "_10",
    "18446744073709551616",
    "yes",
    "tRUE",
    "%zz",
    "%",
    "%4",
    "%41%",
    "a;b",
    "0x10",
    "+1",
    ".5",
    "null",
];

/// Makes requests.
#[derive(Debug)]
pub(crate) struct Generator {
    random: Rng,
    /// The value, as sent, and number of the last write to each path.
    written: HashMap<&'static str, (&'static str, usize)>,
    /// The directory and number of each in-order write.
    in_order: Vec<(&'static str, usize)>,
    writes: usize,
    /// What the last request would write, if it succeeds.
    attempt: Option<(&'static str, &'static str)>,
    is_in_order: bool,
}

/// A request, or a watch.
#[derive(Debug)]
pub(crate) enum Step {
    /// Is answered at once.
    Request(Request),
    /// May wait.
    Watch {
        /// What is asked for.
        request: Request,
        /// The path that it is about, after [`ROOT`].
        path: &'static str,
        /// Whether it goes on after an event.
        stream: bool,
    },
}

impl Generator {
    /// A generator of this seed's requests.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            written: HashMap::new(),
            in_order: Vec::new(),
            writes: 0,
            attempt: None,
            is_in_order: false,
        }
    }

    /// Notes that the last request was carried out as this write.
    pub(crate) fn wrote(&mut self, number: usize) {
        self.writes = number + 1;
        let Some((path, value)) = self.attempt.take() else {
            return;
        };
        if self.is_in_order {
            self.in_order.push((path, number));
        } else {
            self.written.insert(path, (value, number));
        }
    }

    /// Notes that so many writes were made, whoever asked for them.
    pub(crate) fn go_on_after(&mut self, writes: usize) {
        self.writes = writes;
    }

    /// The next request.
    pub(crate) fn next(&mut self) -> Step {
        self.attempt = None;
        self.is_in_order = false;
        Step::Request(match self.random.u32(0..100) {
            0..28 => self.set(),
            28..37 => self.conditional_existence(),
            37..50 => self.compare_and_swap(),
            50..56 => self.refresh(),
            56..64 => self.create_in_order(),
            64..76 => self.delete(),
            76..88 => self.read(),
            88..94 => self.bad_parameter(),
            94..97 => self.odd_body(),
            _ => return self.watch(),
        })
    }

    fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.random.usize(..choices.len())]
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.random.u32(..n) == 0
    }

    /// A path, or now and then an in-order key.
    fn target(&mut self) -> (&'static str, String) {
        if !self.in_order.is_empty() && self.one_in(12) {
            let choice = self.random.usize(..self.in_order.len());
            let (directory, number) = self.in_order[choice];
            return (directory, format!("{ROOT}{directory}/{}", name_of(number)));
        }
        let path = self.choose(PATHS);
        (path, format!("{ROOT}{path}"))
    }

    /// A write with its parameters in the query or in a form.
    fn write(&mut self, method: &str, target: &str, parameters: &[String]) -> Request {
        let parameters = parameters.join("&");
        if method != "DELETE" && !self.one_in(4) {
            Request::new(method, target).form(parameters)
        } else {
            Request::new(method, &format!("{target}?{parameters}"))
        }
    }

    /// Parameters that any write may have besides.
    fn extras(&mut self) -> Vec<String> {
        let mut extras = Vec::new();
        if self.one_in(5) {
            extras.push(format!("ttl={}", self.choose(TTLS)));
        }
        if self.one_in(8) {
            extras.push(format!("dir={}", self.choose(BOOLEANS)));
        }
        if self.one_in(8) {
            extras.push(format!("noValueOnSuccess={}", self.choose(BOOLEANS)));
        }
        extras
    }

    fn put(&mut self, condition: Vec<String>) -> Request {
        let (path, target) = self.target();
        self.put_at(path, &target, condition)
    }

    fn put_at(&mut self, path: &'static str, target: &str, condition: Vec<String>) -> Request {
        let value = self.choose(VALUES);
        self.attempt = Some((path, value));
        let mut parameters = condition;
        if !self.one_in(10) {
            parameters.push(format!("value={value}"));
        }
        parameters.extend(self.extras());
        self.random.shuffle(&mut parameters);
        self.write("PUT", target, &parameters)
    }

    fn set(&mut self) -> Request {
        self.put(Vec::new())
    }

    fn conditional_existence(&mut self) -> Request {
        let condition = vec![format!("prevExist={}", self.choose(BOOLEANS))];
        self.put(condition)
    }

    /// A condition on a path: the value or index that it has, another's, or none.
    fn condition(&mut self, path: &'static str) -> Vec<String> {
        let holds = self.random.bool();
        let (value, number) = match self.written.get(path).filter(|_| holds) {
            Some(&written) => written,
            None => (self.choose(VALUES), self.random.usize(..=self.writes)),
        };
        let by_value = format!("prevValue={value}");
        let by_index = format!("prevIndex={}", index_of(number));
        match self.random.u32(..8) {
            0..3 => vec![by_value],
            3..6 => vec![by_index],
            6 => vec!["prevIndex=0".to_owned()],
            _ => vec![by_value, by_index],
        }
    }

    fn compare_and_swap(&mut self) -> Request {
        let path = self.choose(PATHS);
        let mut condition = self.condition(path);
        if self.one_in(6) {
            condition.push(format!("prevExist={}", self.choose(BOOLEANS)));
        }
        self.put_at(path, &format!("{ROOT}{path}"), condition)
    }

    fn refresh(&mut self) -> Request {
        let (path, target) = self.target();
        let mut parameters = vec!["refresh=true".to_owned(), "ttl=2000".to_owned()];
        match self.random.u32(..4) {
            0 => parameters.push("prevExist=true".to_owned()),
            1 => parameters.extend(self.condition(path)),
            2 => parameters.push(format!("value={}", self.choose(&["", "", "x"]))),
            _ => {}
        }
        self.write("PUT", &target, &parameters)
    }

    fn create_in_order(&mut self) -> Request {
        let path = self.choose(&["/q", "/q", "/d/e", "/_h", "/a", "/new/queue"]);
        let value = self.choose(VALUES);
        self.attempt = Some((path, value));
        self.is_in_order = true;
        let mut parameters = vec![format!("value={value}")];
        parameters.extend(self.extras());
        self.write("POST", &format!("{ROOT}{path}"), &parameters)
    }

    fn delete(&mut self) -> Request {
        let (path, target) = self.target();
        let parameters = match self.random.u32(..8) {
            0..3 => Vec::new(),
            3 => vec![format!("dir={}", self.choose(BOOLEANS))],
            4 => vec![format!("recursive={}", self.choose(BOOLEANS))],
            5 => vec!["dir=true".to_owned(), "recursive=true".to_owned()],
            _ => self.condition(path),
        };
        self.write("DELETE", &target, &parameters)
    }

    fn read(&mut self) -> Request {
        let (_, target) = self.target();
        let mut parameters = Vec::new();
        for (name, n) in [("recursive", 2), ("sorted", 2), ("quorum", 4)] {
            if self.one_in(n) {
                parameters.push(format!("{name}=true"));
            }
        }
        let method = self.choose(&["GET", "GET", "GET", "GET", "HEAD"]);
        let target = if self.one_in(20) {
            "/v2/keys".to_owned()
        } else {
            target
        };
        Request::new(method, &format!("{target}?{}", parameters.join("&")))
    }

    /// A parameter that cannot be read, or several of which the first to be checked counts.
    fn bad_parameter(&mut self) -> Request {
        let method = self.choose(&["GET", "HEAD", "PUT", "POST", "DELETE"]);
        let mut parameters = Vec::new();
        for _ in 0..self.random.u32(1..4) {
            let name = self.choose(PARAMETERS);
            parameters.push(format!("{name}={}", self.choose(BAD_VALUES)));
        }
        // A watch would wait for ever; this one is refused first.
        parameters.push("prevIndex=bad".to_owned());
        let (_, target) = self.target();
        self.write(method, &target, &parameters)
    }

    /// A body that is no form, and content types good and bad.
    fn odd_body(&mut self) -> Request {
        let (_, target) = self.target();
        let content_type = self.choose(&[
            "application/json",
            "multipart/form-data; boundary=x",
            "application",
            "a/b c",
            "/b",
            "a/",
            "a/b; =",
            "a/b; c; d=e",
            "a/b; c=d; c=e",
            "APPLICATION/x-www-form-urlencoded ; charset=\"utf-8\"",
            "application/x-www-form-urlencoded;",
        ]);
        let body = self.choose(&["value=x", "{\"value\":\"x\"}", ""]);
        let method = self.choose(&["PUT", "POST", "DELETE"]);
        let request = Request::new(method, &target);
        request.header("Content-Type", content_type).body(body)
    }

    fn watch(&mut self) -> Step {
        let path = self.choose(&[
            "/a", "/b", "/a/x", "/d", "/d/e/f", "/_h/k", "/q", "", "/none",
        ]);
        let mut parameters = vec!["wait=true".to_owned()];
        if self.random.bool() {
            parameters.push("recursive=true".to_owned());
        }
        // etcd ends no stream that begins in its history, but sends nothing after the first event.
        let stream = self.one_in(3);
        if !stream && !self.one_in(3) && self.writes > 0 {
            // Not into history: there etcd tells watchers of paths that never existed, and of hidden
            // ones, what it does not tell those that are waiting.
            let from = self.random.usize(self.writes..self.writes + 3);
            parameters.push(format!("waitIndex={}", index_of(from)));
        }
        if stream {
            parameters.push("stream=true".to_owned());
        }
        let request = Request::new("GET", &format!("{ROOT}{path}?{}", parameters.join("&")));
        Step::Watch {
            request,
            path,
            stream,
        }
    }
}
