//! Plots as SVG: panels below each other, lines in each.

use std::fmt::Write as _;

use crate::drive::Outcome;

const WIDTH: f64 = 860.0;
const PANEL: f64 = 260.0;
const TITLE: f64 = 40.0;
/// Left, right, top, bottom of a panel's area.
const MARGIN: [f64; 4] = [70.0, 150.0, 30.0, 40.0];
/// Told apart also by those who see few colours (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// A plot.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) panels: Vec<Panel>,
}

/// Lines with the same axes.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) scale: Scale,
    pub(crate) lines: Vec<Line>,
}

/// How the vertical axis goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    FromZero,
    Logarithmic,
}

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Throughput and latency over time.
pub(crate) fn over_time(title: &str, outcome: &Outcome) -> Plot {
    let slices = &outcome.measured.slices;
    let line = |name: &str, value: fn(&crate::record::Slice) -> f64| Line {
        name: name.to_owned(),
        points: slices.iter().map(|slice| (slice.at, value(slice))).collect(),
    };
    let x = "seconds".to_owned();
    let throughput = vec![line("answers a second", |slice| slice.per_second)];
    let latency = vec![line("p50", |s| s.p50), line("p99", |s| s.p99), line("longest", |s| s.max)];
    Plot {
        title: title.to_owned(),
        panels: vec![
            Panel { x: x.clone(), y: "answers a second".to_owned(), scale: Scale::FromZero, lines: throughput },
            Panel { x, y: "latency, ms".to_owned(), scale: Scale::Logarithmic, lines: latency },
        ],
    }
}

/// Several measurements beside each other: throughput over time, and latency by percentile.
pub(crate) fn side_by_side(title: &str, all: &[(String, &Outcome)]) -> Plot {
    let throughput = |(name, outcome): &(String, &Outcome)| Line {
        name: name.clone(),
        points: outcome.measured.slices.iter().map(|slice| (slice.at, slice.per_second)).collect(),
    };
    let latency = |(name, outcome): &(String, &Outcome)| Line {
        name: name.clone(),
        points: outcome.measured.latency.percentiles.clone(),
    };
    Plot {
        title: title.to_owned(),
        panels: vec![
            Panel {
                x: "seconds".to_owned(),
                y: "answers a second".to_owned(),
                scale: Scale::FromZero,
                lines: all.iter().map(throughput).collect(),
            },
            Panel {
                x: "percentile".to_owned(),
                y: "latency, ms".to_owned(),
                scale: Scale::Logarithmic,
                lines: all.iter().map(latency).collect(),
            },
        ],
    }
}

impl Plot {
    /// The file.
    pub(crate) fn svg(&self) -> String {
        let height = TITLE + PANEL * self.panels.len() as f64;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"{}\" y=\"24\" font-size=\"16\">{}</text>\n",
            MARGIN[0],
            escaped(&self.title)
        );
        for (at, panel) in self.panels.iter().enumerate() {
            panel.draw(&mut svg, TITLE + PANEL * at as f64);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// Where values are on paper.
struct Axes {
    x: (f64, f64),
    y: (f64, f64),
    scale: Scale,
    top: f64,
}

impl Axes {
    fn x(&self, value: f64) -> f64 {
        let (low, high) = self.x;
        MARGIN[0] + (value - low) / (high - low) * (WIDTH - MARGIN[0] - MARGIN[1])
    }

    fn y(&self, value: f64) -> f64 {
        let (low, high) = self.y;
        let part = match self.scale {
            Scale::FromZero => (value - low) / (high - low),
            Scale::Logarithmic => (value.max(low) / low).ln() / (high / low).ln(),
        };
        self.top + MARGIN[2] + (1.0 - part) * (PANEL - MARGIN[2] - MARGIN[3])
    }

    fn marks(&self) -> Vec<f64> {
        match self.scale {
            Scale::FromZero => (0..=4).map(|quarter| self.y.1 * f64::from(quarter) / 4.0).collect(),
            Scale::Logarithmic => {
                let decades = (self.y.1 / self.y.0).log10().round() as i32;
                (0..=decades).map(|decade| self.y.0 * 10_f64.powi(decade)).collect()
            }
        }
    }
}

impl Panel {
    fn axes(&self, top: f64) -> Option<Axes> {
        let points = || self.lines.iter().flat_map(|line| &line.points).filter(|(x, y)| x.is_finite() && y.is_finite());
        let range = |values: &mut dyn Iterator<Item = f64>| {
            values.fold(None, |range: Option<(f64, f64)>, v| Some(range.map_or((v, v), |(l, h)| (l.min(v), h.max(v)))))
        };
        let (left, right) = range(&mut points().map(|(x, _)| *x))?;
        let y = match self.scale {
            Scale::FromZero => (0.0, nice(range(&mut points().map(|(_, y)| *y))?.1)),
            Scale::Logarithmic => {
                let (low, high) = range(&mut points().map(|(_, y)| y.max(0.001)))?;
                let (low, high) = (low.log10().floor(), high.log10().ceil());
                (10_f64.powf(low), 10_f64.powf(high.max(low + 1.0)))
            }
        };
        Some(Axes { x: (left, if right > left { right } else { left + 1.0 }), y, scale: self.scale, top })
    }

    fn draw(&self, svg: &mut String, top: f64) {
        // Writing to a string cannot fail.
        let Some(axes) = self.axes(top) else {
            let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\">nothing was measured</text>", MARGIN[0], top + MARGIN[2]);
            return;
        };
        let (left, right, bottom) = (MARGIN[0], WIDTH - MARGIN[1], top + PANEL - MARGIN[3]);
        for mark in axes.marks() {
            let y = axes.y(mark);
            let _ = writeln!(
                svg,
                "<line x1=\"{left}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 6.0,
                y + 4.0,
                number(mark)
            );
        }
        for part in 0..=5 {
            let value = axes.x.0 + (axes.x.1 - axes.x.0) * f64::from(part) / 5.0;
            let (x, y) = (axes.x(value), bottom + 16.0);
            let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>", number(value));
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text><text x=\"{left}\" y=\"{:.1}\">{}</text>",
            f64::midpoint(left, right),
            bottom + 32.0,
            escaped(&self.x),
            top + MARGIN[2] - 10.0,
            escaped(&self.y)
        );
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            line.draw(svg, &axes, colour);
        }
        for (at, (line, colour)) in self.lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let y = top + MARGIN[2] + 6.0 + 18.0 * at as f64;
            let _ = writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"12\" height=\"4\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                right + 10.0,
                y - 6.0,
                right + 28.0,
                y,
                escaped(&line.name)
            );
        }
    }
}

impl Line {
    fn draw(&self, svg: &mut String, axes: &Axes, colour: &str) {
        let finite = self.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        let points: Vec<_> = finite.map(|(x, y)| format!("{:.1},{:.1}", axes.x(*x), axes.y(*y))).collect();
        let points = points.join(" ");
        let _ = writeln!(svg, "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>");
    }
}

/// The next of 1, 2, 5, 10, … that is not less.
fn nice(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let decade = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 8.0, 10.0].iter().map(|step| step * decade).find(|&v| v >= value).unwrap_or(10.0 * decade)
}

fn number(value: f64) -> String {
    let text = if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(scale: Scale, points: Vec<(f64, f64)>) -> Plot {
        let line = Line { name: "a < b & c".to_owned(), points };
        let panel = Panel { x: "seconds".to_owned(), y: "rate".to_owned(), scale, lines: vec![line] };
        Plot { title: "<title>".to_owned(), panels: vec![panel] }
    }

    /// The points of the first line, on paper.
    fn drawn(svg: &str) -> Vec<(f64, f64)> {
        let from = svg.find("points=\"").unwrap() + 8;
        let list = svg[from..].split('"').next().unwrap();
        let pair = |text: &str| text.split_once(',').map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap())).unwrap();
        list.split(' ').map(pair).collect()
    }

    #[test]
    fn more_is_higher_and_later_is_further_right_and_all_is_within_the_panel() {
        for scale in [Scale::FromZero, Scale::Logarithmic] {
            let points = drawn(&plot(scale, vec![(0.0, 10.0), (1.0, 100.0), (2.0, 1000.0)]).svg());
            assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 > pair[1].1), "{points:?}");
            let within = |(x, y): &(f64, f64)| {
                (MARGIN[0]..=WIDTH - MARGIN[1]).contains(x)
                    && (TITLE + MARGIN[2]..=TITLE + PANEL - MARGIN[3]).contains(y)
            };
            assert!(points.iter().all(within), "{points:?}");
        }
    }

    #[test]
    fn a_logarithmic_axis_gives_each_decade_the_same_height() {
        let points = drawn(&plot(Scale::Logarithmic, vec![(0.0, 1.0), (1.0, 10.0), (2.0, 100.0)]).svg());
        assert!(((points[0].1 - points[1].1) - (points[1].1 - points[2].1)).abs() < 0.2, "{points:?}");
    }

    #[test]
    fn names_cannot_break_the_file() {
        let svg = plot(Scale::FromZero, vec![(0.0, 1.0)]).svg();
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains("&lt;title&gt;"));
        assert_eq!(svg.matches('<').count(), svg.matches('>').count());
    }

    #[test]
    fn nothing_measured_is_said_and_not_drawn() {
        for points in [vec![], vec![(f64::NAN, 1.0)]] {
            let svg = plot(Scale::FromZero, points).svg();
            assert!(svg.contains("nothing was measured") && !svg.contains("NaN"));
        }
        assert!(!plot(Scale::Logarithmic, vec![(0.0, 0.0), (0.0, 0.0)]).svg().contains("NaN"));
    }

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, end) in [(0.0, 1.0), (0.9, 1.0), (17.0, 20.0), (201.0, 400.0), (999.0, 1000.0), (1000.0, 1000.0)] {
            assert!((nice(value) - end).abs() < 1e-9, "{value}: {}", nice(value));
        }
        assert_eq!((number(0.1), number(20.0), number(12_345.6)), ("0.1".into(), "20".into(), "12346".into()));
    }
}
