//! `add(x, y)`: the smallest task there is.

use caraway_worker::{Context, Failure};
use serde::Deserialize;
use serde_json::Number;

#[derive(Deserialize)]
pub(crate) struct Args {
    x: Number,
    y: Number,
}

/// Whole numbers stay whole while they fit; otherwise the sum is a double.
pub(crate) async fn run(args: Args, _: Context) -> Result<Number, Failure> {
    sum(&args.x, &args.y).ok_or_else(|| Failure::fatal("overflow", "the sum is no finite number"))
}

fn sum(x: &Number, y: &Number) -> Option<Number> {
    let whole = x.as_i64().zip(y.as_i64()).and_then(|(x, y)| x.checked_add(y)).map(Number::from);
    whole.or_else(|| Number::from_f64(x.as_f64()? + y.as_f64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds() {
        let number = |text: &str| text.parse::<Number>().unwrap();
        let add = |x, y| sum(&number(x), &number(y)).map(|sum| sum.to_string());
        assert_eq!(add("1", "2").as_deref(), Some("3"));
        assert_eq!(add("0.5", "2").as_deref(), Some("2.5"));
        assert_eq!(add("9223372036854775807", "1").as_deref(), Some("9.223372036854776e+18"));
        assert_eq!(add("1e308", "1e308"), None);
    }
}
