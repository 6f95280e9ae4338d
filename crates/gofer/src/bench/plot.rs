//! The results as a picture: a bar for the rate of every server, on a logarithmic scale.

use std::fmt::Write;

use super::report::{Measurement, Outcome, Report};

const LEFT: f64 = 150.0;
const WIDTH: f64 = 640.0;
const BAR: f64 = 11.0;
const GAP: f64 = 9.0;
const TOP: f64 = 44.0;
/// Of the first lanes; what comes after them is grey. They differ in lightness too.
const COLOURS: [&str; 4] = ["#1b4f9c", "#e08a1e", "#4aa564", "#b04a8f"];
const GREY: &str = "#b8b8b8";

/// The picture (SVG 1.1).
pub(super) fn svg(report: &Report) -> String {
    let rates = || report.measurements.iter().flat_map(|m| &m.lanes).filter_map(|lane| rate(&lane.outcome));
    let low = rates().reduce(f64::min).unwrap_or(1.0).max(1e-3).log10().floor();
    let high = rates().fold(1.0, f64::max).log10().ceil().max(low + 1.0);
    let x = |rate: f64| LEFT + (rate.max(1e-3).log10() - low) / (high - low) * WIDTH;
    let names = names(&report.measurements);
    let rows: usize = report.measurements.iter().map(|measurement| measurement.lanes.len()).sum();
    let bottom = TOP + rows as f64 * BAR + report.measurements.len() as f64 * GAP;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0} {:.0}\" font-family=\"sans-serif\" \
         font-size=\"10\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        LEFT + WIDTH + 70.0,
        bottom + 24.0
    );
    for (number, name) in names.iter().enumerate() {
        let at = LEFT + number as f64 * 110.0;
        let _ = writeln!(
            svg,
            "<rect x=\"{at:.0}\" y=\"10\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{:.0}\" y=\"19\">{}</text>",
            colour(&names, name),
            at + 14.0,
            escape(name)
        );
    }
    let mut power = low;
    while power <= high {
        let at = x(10f64.powf(power));
        let _ = writeln!(
            svg,
            "<path d=\"M{at:.1} {:.0}V{bottom:.0}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" y=\"{:.0}\" \
             text-anchor=\"middle\">{}/s</text>",
            TOP - 6.0,
            bottom + 14.0,
            10f64.powf(power)
        );
        power += 1.0;
    }
    let mut y = TOP;
    for measurement in &report.measurements {
        let title = format!("{} \u{d7}{}", measurement.operation.name(), measurement.in_flight);
        let middle = y + measurement.lanes.len() as f64 * BAR / 2.0 + 3.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{middle:.1}\" text-anchor=\"end\">{title}</text>",
            LEFT - 8.0
        );
        for lane in &measurement.lanes {
            if let Some(rate) = rate(&lane.outcome) {
                let end = x(rate);
                let _ = writeln!(
                    svg,
                    "<rect x=\"{LEFT:.0}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"/>\
                     <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"9\">{rate:.0}</text>",
                    end - LEFT,
                    BAR - 1.0,
                    colour(&names, &lane.name),
                    end + 3.0,
                    y + BAR - 2.5
                );
            }
            y += BAR;
        }
        y += GAP;
    }
    svg.push_str("</svg>\n");
    svg
}

fn rate(outcome: &Outcome) -> Option<f64> {
    match outcome {
        Outcome::Measured(measured) => Some(measured.operations_per_second),
        Outcome::Refused { .. } => None,
    }
}

/// The names of all lanes, in the order in which they come.
fn names(measurements: &[Measurement]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for lane in measurements.iter().flat_map(|measurement| &measurement.lanes) {
        if !names.contains(&lane.name.as_str()) {
            names.push(&lane.name);
        }
    }
    names
}

/// The colour of a lane; the floors have none.
fn colour(names: &[&str], name: &str) -> &'static str {
    let servers = names.iter().filter(|name| !super::FLOORS.contains(name));
    let number = servers.enumerate().find(|(_, other)| **other == name).map(|(number, _)| number);
    number.and_then(|number| COLOURS.get(number)).unwrap_or(&GREY)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_report_is_a_picture_and_text_is_escaped() {
        let svg = svg(&Report::new(1.0));
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert_eq!(escape("a<b&c"), "a&lt;b&amp;c");
    }

    #[test]
    fn floors_are_grey_and_servers_are_not() {
        let names = ["gofer", "direct", "diod"];
        assert_eq!(names.map(|name| colour(&names, name)), [COLOURS[0], GREY, COLOURS[1]]);
    }
}
