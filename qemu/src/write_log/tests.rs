//! Tests of the reader; that QEMU writes such logs is tested by starting machines.

use super::*;
use std::io::Cursor;

/// A log with sectors of 512 bytes.
struct Log(Vec<u8>);

impl Log {
    fn new(entries: u64) -> Self {
        let mut log = Self(Vec::new());
        log.numbers([MAGIC, VERSION, entries, 512]);
        log
    }

    fn numbers(&mut self, numbers: [u64; 4]) {
        for number in numbers {
            self.0.extend(number.to_le_bytes());
        }
        self.pad();
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }

    fn write(mut self, sector: u64, flags: u64, data: &[u8]) -> Self {
        self.numbers([sector, data.len() as u64 / 512, flags, 0]);
        self.0.extend(data);
        self
    }

    fn requests(self) -> io::Result<Vec<Request>> {
        let entries: io::Result<Vec<_>> = WriteLog::read(Cursor::new(self.0))?.collect();
        Ok(entries?.into_iter().flatten().collect())
    }
}

#[test]
fn requests_come_in_order() {
    let mut log = Log::new(5).write(3, 0, &[7; 1024]).write(0, FLUSH, &[]);
    log.numbers([8, 4, DISCARD, 0]);
    log.numbers([0, 0, MARK, 4]);
    log.0.extend(b"mark");
    log.pad();
    let log = log.write(1, FLUSH | FORCE_UNIT_ACCESS, &[9; 512]);
    let write = |offset, data: &[u8], is_durable| Request::Write {
        offset,
        data: data.to_vec(),
        is_durable,
    };
    let expected = [
        write(1536, &[7; 1024], false),
        Request::Flush,
        Request::Discard {
            offset: 4096,
            length: 2048,
        },
        Request::Flush,
        write(512, &[9; 512], true),
    ];
    assert_eq!(log.requests().unwrap(), expected);
}

#[test]
fn a_log_that_ends_early_is_an_error_and_its_rest_is_not_read() {
    let mut log = Log::new(2).write(0, 0, &[1; 512]).write(1, 0, &[2; 512]);
    log.0.truncate(log.0.len() - 1);
    let mut read = WriteLog::read(Cursor::new(log.0)).unwrap();
    assert_eq!(read.next().unwrap().unwrap().len(), 1);
    assert!(read.next().unwrap().is_err());
    assert!(read.next().is_none());
}

#[test]
fn what_is_no_log_is_refused() {
    assert!(WriteLog::read(Cursor::new(vec![0; 4096])).is_err());
    for (index, wrong) in [(1, 2), (3, 0), (3, 768), (3, 1 << 30)] {
        let mut numbers = [MAGIC, VERSION, 0, 512];
        numbers[index] = wrong;
        let mut log = Log(Vec::new());
        log.numbers(numbers);
        assert!(log.requests().is_err(), "{numbers:?}");
    }
    for flags in [1 << 4, 1 << 63] {
        let mut log = Log::new(1);
        log.numbers([0, 0, flags, 0]);
        assert!(log.requests().is_err(), "{flags:#x}");
    }
    for entry in [
        [u64::MAX, 1, 0, 0],
        [0, 1 << 40, 0, 0],
        [0, 0, MARK, u64::MAX],
    ] {
        let mut log = Log::new(1);
        log.numbers(entry);
        assert!(log.requests().is_err(), "{entry:?}");
    }
}
