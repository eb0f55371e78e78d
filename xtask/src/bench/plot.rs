//! A line chart as SVG: curves over the number of cores. Pure.

use std::fmt::Write as _;

/// One curve.
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// Points, by x.
    pub points: Vec<(f64, f64)>,
    /// Dashed instead of solid.
    pub dashed: bool,
    /// Which of the colours it has.
    pub colour: usize,
}

/// A chart.
pub struct Chart {
    /// Headline.
    pub title: String,
    /// What must be said below the headline, by line.
    pub notes: Vec<String>,
    /// What the axes show.
    pub x: String,
    /// The same, upwards.
    pub y: String,
    /// What is drawn.
    pub curves: Vec<Curve>,
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 560.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 130.0;
const TOP: f64 = 100.0;
const BOTTOM: f64 = 55.0;
const COLOURS: [&str; 4] = ["#1b6ca8", "#c8553d", "#3a7d44", "#7b4b94"];

/// The next round number (1, 2 or 5 times a power of ten) that is not smaller.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.max(1.0).log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let found = factors.iter().map(|f| f * power).find(|n| *n >= value);
    found.unwrap_or(10.0 * power)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

impl Chart {
    fn largest(&self, of: impl Fn(&(f64, f64)) -> f64) -> f64 {
        let points = self.curves.iter().flat_map(|c| &c.points);
        points.map(of).fold(1.0, f64::max)
    }

    /// The picture.
    pub fn svg(&self) -> String {
        let (x_max, y_step) = (self.largest(|p| p.0), round_up(self.largest(|p| p.1) / 8.0));
        let y_max = (self.largest(|p| p.1) / y_step).ceil() * y_step;
        let across = |x: f64| LEFT + (x - 1.0) / (x_max - 1.0).max(1.0) * (WIDTH - LEFT - RIGHT);
        let up = |y: f64| HEIGHT - BOTTOM - y / y_max * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
        );
        let mut text = |x: f64, y: f64, style: &str, what: &str| {
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{}</text>",
                escaped(what)
            );
        };
        text(
            LEFT,
            28.0,
            "font-size=\"17\" font-weight=\"bold\"",
            &self.title,
        );
        for (i, note) in self.notes.iter().enumerate() {
            text(LEFT, 50.0 + 18.0 * i as f64, "fill=\"#444\"", note);
        }
        text(WIDTH / 2.0 - 60.0, HEIGHT - 14.0, "", &self.x);
        let middle = (HEIGHT + TOP) / 2.0;
        let turned = format!("transform=\"rotate(-90 20 {middle})\" text-anchor=\"middle\"");
        text(20.0, middle, &turned, &self.y);
        for x in 1..=x_max as u32 {
            text(
                across(x.into()),
                HEIGHT - BOTTOM + 20.0,
                "text-anchor=\"middle\"",
                &x.to_string(),
            );
        }
        let mut y = 0.0;
        while y <= y_max {
            text(
                LEFT - 8.0,
                up(y) + 4.0,
                "text-anchor=\"end\"",
                &format!("{y}"),
            );
            y += y_step;
        }
        for (i, curve) in self.curves.iter().enumerate() {
            let at = TOP + 20.0 * i as f64;
            text(WIDTH - RIGHT + 50.0, at + 4.0, "", &curve.name);
        }
        let mut y = 0.0;
        while y <= y_max {
            let (at, end) = (up(y), WIDTH - RIGHT);
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{end}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>"
            );
            y += y_step;
        }
        for (i, curve) in self.curves.iter().enumerate() {
            let dash = if curve.dashed {
                " stroke-dasharray=\"6 4\""
            } else {
                ""
            };
            let colour = COLOURS[curve.colour % COLOURS.len()];
            let style = format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}");
            let points = curve.points.iter();
            let points: Vec<String> = points
                .map(|(x, y)| format!("{:.1},{:.1}", across(*x), up(*y)))
                .collect();
            let _ = writeln!(svg, "<polyline points=\"{}\" {style}/>", points.join(" "));
            let (at, from) = (TOP + 20.0 * i as f64, WIDTH - RIGHT + 15.0);
            let to = from + 28.0;
            let _ = writeln!(
                svg,
                "<line x1=\"{from}\" x2=\"{to}\" y1=\"{at}\" y2=\"{at}\" {style}/>"
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        assert_eq!(round_up(0.2), 1.0);
        assert_eq!(round_up(1.5), 2.0);
        assert_eq!(round_up(37.0), 50.0);
        assert_eq!(round_up(100.0), 100.0);
    }

    #[test]
    fn every_curve_is_drawn_and_named_and_text_is_escaped() {
        let curve = |name: &str, dashed| Curve {
            name: name.to_owned(),
            points: vec![(1.0, 10.0), (2.0, 25.0)],
            dashed,
            colour: 0,
        };
        let chart = Chart {
            title: "a < b".to_owned(),
            notes: vec!["no caches".to_owned()],
            x: "cores".to_owned(),
            y: "instructions".to_owned(),
            curves: vec![curve("SHM1", false), curve("MSG1", true)],
        };
        let svg = chart.svg();
        assert_eq!(svg.matches("<polyline").count(), 2);
        for part in ["a &lt; b", "no caches", "SHM1", "MSG1", "dasharray"] {
            assert!(svg.contains(part), "{part}");
        }
        assert!(svg.trim_end().ends_with("</svg>"));
    }
}
