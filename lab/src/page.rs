//! The report as one page that needs nothing else: a table, and charts of each run.

use std::fmt::Write as _;

use crate::report::{Measured, Report, Row};

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #cf222e; --one: #0969da; --two: #bf8700; --soft: #8886; }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --bad: #f85149; --one: #58a6ff; --two: #d29922; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; }
.bad { color: var(--bad); font-weight: 600; }
.good { color: var(--good); }
.runs { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fit, minmax(30rem, 1fr)); }
section { border-top: 2px solid var(--line); margin-top: 2rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 10px system-ui, sans-serif; fill: currentColor; }
dl { display: grid; gap: 0 1rem; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); font-size: 13px; }
dl div { display: flex; gap: .5rem; justify-content: space-between; border-bottom: 1px solid var(--line); }
dd { margin: 0; }
";

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 96.0;
const LEFT: f64 = 44.0;

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

pub(crate) fn render(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>Network lab</title><style>{STYLE}</style><h1>Network lab</h1><p>{}, {} s a run.</p>",
        escaped(&report.server),
        report.seconds
    );
    page.push_str(
        "<table><thead><tr><th>Row<th>Scenario<th>Must be<th>Seen<th>Beside<th>Behind</thead><tbody>",
    );
    report.scenarios.iter().for_each(|row| overview(&mut page, row));
    page.push_str("</tbody></table>");
    report.scenarios.iter().for_each(|row| details(&mut page, row));
    page.push_str("</html>\n");
    page
}

fn overview(page: &mut String, row: &Row) {
    let ours = row.runs.first();
    let count = ours.map_or(0, |run| run.figures.len());
    for at in 0..count {
        let Some(figure) = ours.and_then(|run| run.figures.get(at)) else { continue };
        let beside =
            row.runs.get(1).and_then(|run| run.figures.get(at)).map_or("", |figure| figure.got.as_str());
        let class = if figure.is_met { "good" } else { "bad" };
        let head = if at == 0 {
            let name = escaped(&row.name);
            format!("<td>{}<td><a href='#{name}'>{name}</a>", escaped(&row.row))
        } else {
            "<td><td>".to_owned()
        };
        let behind = if at == 0 { escaped(&row.behind.join("; ")) } else { String::new() };
        let _ = write!(
            page,
            "<tr>{head}<td>{} {}<td class={class}>{}<td>{}<td>{behind}",
            escaped(&figure.what),
            escaped(&figure.wanted),
            escaped(&figure.got),
            escaped(beside),
        );
    }
}

fn details(page: &mut String, row: &Row) {
    let name = escaped(&row.name);
    let _ = write!(page, "<section id='{name}'><h2>{} {name}</h2>", escaped(&row.row));
    if let Some(tcp) = row.tcp {
        let _ = write!(page, "<p>Beside a TCP download whose congestion control is {tcp}.</p>");
    }
    page.push_str("<div class=runs>");
    row.runs.iter().for_each(|run| charts(page, run));
    page.push_str("</div></section>");
}

fn charts(page: &mut String, run: &Measured) {
    let _ = write!(page, "<div><h3>{}</h3>", run.server);
    let series = &run.series;
    let most = |all: &[&[f64]]| all.iter().flat_map(|line| line.iter()).copied().fold(1.0, f64::max);
    // A wide link would make what is sent invisible.
    let rate = most(&[&series.offered_kbits]).max(most(&[&series.capacity_kbits]).min(2_000.0)) * 1.1;
    chart(
        page,
        "kbit/s offered to the link (line), through (area), capacity (dashed)",
        rate,
        series.step,
        &[
            (&series.through_kbits, "fill:var(--soft)"),
            (&series.capacity_kbits, "fill:none;stroke:var(--bad);stroke-dasharray:4 3"),
            (&series.offered_kbits, "fill:none;stroke:var(--one);stroke-width:1.5"),
        ],
    );
    chart(
        page,
        "height of the picture in pixels (area), frames a second x 30 (line)",
        600.0,
        series.step,
        &[
            (&series.height, "fill:var(--soft)"),
            (
                &series.frames.iter().map(|frames| frames * 30.0).collect::<Vec<_>>(),
                "fill:none;stroke:var(--one);stroke-width:1.5",
            ),
        ],
    );
    chart(
        page,
        "ms from painted to decoded (line), per cent of the sound concealed x 10 (area)",
        most(&[&series.delay]).clamp(500.0, 5_000.0),
        series.step,
        &[
            (
                &series.concealed.iter().map(|percent| percent * 10.0).collect::<Vec<_>>(),
                "fill:var(--two);fill-opacity:.5",
            ),
            (&series.delay, "fill:none;stroke:var(--one);stroke-width:1.5"),
        ],
    );
    for trouble in &run.troubles {
        let _ = write!(page, "<p class=bad>{}</p>", escaped(trouble));
    }
    let sizes =
        run.sizes.iter().map(|size| format!("{} kbit/s at {} a second", size.kbits, size.frames_a_second));
    let _ = write!(page, "<p>Published: {}.</p>", escaped(&sizes.collect::<Vec<_>>().join(", ")));
    page.push_str("<dl>");
    let entries = run.viewers.first().into_iter().flatten().chain(&run.link);
    for (name, value) in entries {
        let _ = write!(page, "<div><dt>{}<dd>{value}</div>", name.replace('_', " "));
    }
    page.push_str("</dl></div>");
}

/// Lines and areas over time, below a title.
fn chart(page: &mut String, title: &str, most: f64, step: f64, lines: &[(&Vec<f64>, &str)]) {
    let count = lines.iter().map(|(line, _)| line.len()).max().unwrap_or(0).max(2);
    let x = |at: usize| LEFT + (WIDTH - LEFT) * at as f64 / (count - 1) as f64;
    let y = |value: f64| 16.0 + HEIGHT * (1.0 - (value / most).clamp(0.0, 1.0));
    let _ = write!(
        page,
        "<svg viewBox='0 0 {WIDTH} {:.0}' role=img aria-label='{}'><text x={LEFT} y=10>{}</text>",
        HEIGHT + 34.0,
        escaped(title),
        escaped(title)
    );
    for share in [0.0, 0.5, 1.0] {
        let at = y(most * share);
        let _ = write!(
            page,
            "<line x1={LEFT} x2={WIDTH} y1={at:.1} y2={at:.1} stroke='var(--line)'/><text x={} y={:.1} text-anchor=end>{:.0}</text>",
            LEFT - 4.0,
            at + 3.0,
            most * share
        );
    }
    for (line, style) in lines {
        let mut points: Vec<String> =
            line.iter().enumerate().map(|(at, value)| format!("{:.1},{:.1}", x(at), y(*value))).collect();
        if !style.contains("fill:none") {
            points.insert(0, format!("{:.1},{:.1}", x(0), y(0.0)));
            points.push(format!("{:.1},{:.1}", x(line.len().saturating_sub(1)), y(0.0)));
        }
        let _ = write!(page, "<polyline points='{}' style='{style}'/>", points.join(" "));
    }
    for quarter in 0..=4 {
        let at = (count - 1) * quarter / 4;
        let _ = write!(
            page,
            "<text x={:.1} y={:.1} text-anchor=middle>{:.0} s</text>",
            x(at).min(WIDTH - 10.0),
            HEIGHT + 30.0,
            at as f64 * step
        );
    }
    page.push_str("</svg>");
}
