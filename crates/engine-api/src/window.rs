//! Sizes of terminals, as requests name them.

use monitor_protocol::WindowSize;
use serde_json::Value;

use crate::ApiError;
use crate::query::Query;

/// `h` and `w` of a request that changes a size.
pub fn asked(query: &Query) -> Result<WindowSize, ApiError> {
    Ok(WindowSize {
        rows: side(query, "h")?,
        columns: side(query, "w")?,
    })
}

fn side(query: &Query, name: &str) -> Result<u16, ApiError> {
    let number = query.number(name)?.unwrap_or_default();
    u16::try_from(number).map_err(|_| {
        ApiError::bad_request(format!("{name}={number}: 0 to {} is possible", u16::MAX))
    })
}

/// `ConsoleSize`: lines and columns. What is no size, or one of nothing, is none.
pub fn console(value: &Value) -> Option<WindowSize> {
    let side = |at: usize| {
        let side = value.get(at)?.as_u64()?;
        u16::try_from(side).ok().filter(|side| *side > 0)
    };
    Some(WindowSize {
        rows: side(0)?,
        columns: side(1)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_lines_and_columns() {
        let size = WindowSize {
            rows: 24,
            columns: 80,
        };
        assert_eq!(asked(&Query::parse("h=24&w=80")), Ok(size));
        assert_eq!(
            asked(&Query::parse("h=24&w=70000")).unwrap_err().status,
            400
        );
        assert_eq!(asked(&Query::parse("h=x")).unwrap_err().status, 400);
        assert_eq!(console(&json!([24, 80])), Some(size));
        for nothing in [json!([0, 0]), json!(null), json!([24]), json!([24, -1])] {
            assert_eq!(console(&nothing), None, "{nothing}");
        }
    }
}
