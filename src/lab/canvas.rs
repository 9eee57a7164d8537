//! Lines, bars and dots on axes, in the colours of the strategies.

use super::row::Spread;
use super::text::{figure, thousands};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Stand for the colours of the page that shows a chart.
pub const TEXT: &str = "#010101";
pub const GRID: &str = "#020202";
const TEXT_COLOUR: RGBColor = RGBColor(1, 1, 1);
const GRID_COLOUR: RGBColor = RGBColor(2, 2, 2);

const SIZE: (u32, u32) = (600, 380);
const FONT: &str = "sans-serif";
const FONT_SIZE: u32 = 15;

/// How values lie on an axis.
#[derive(Clone, Default)]
pub enum Scale {
    #[default]
    Linear,
    Log,
    /// One word at each whole number from 0 on.
    Words(Vec<String>),
}

/// Axes, named.
#[derive(Clone, Default)]
pub struct Canvas {
    pub x: &'static str,
    pub y: &'static str,
    pub x_scale: Scale,
    pub y_scale: Scale,
}

/// A strategy's points, each with how far it reaches up and down.
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, Spread)>,
}

/// A bar of parts.
pub struct Bar {
    pub name: String,
    pub group: String,
    pub parts: Vec<(String, f64)>,
}

/// Points of who has a pool, or one worker, have a form of their own, for those who see fewer colours.
const TRIANGLES: [&str; 3] = ["prefork", "thread-pool", "iterative"];

/// Lines of which the names have no place in the corner: they stand above, so many in a row.
const NAMES_IN_CORNER_MAX: usize = 4;
const NAMES_A_ROW: usize = 4;
const NAME_WIDTH: i32 = 138;
const NAME_HEIGHT: i32 = 22;

/// Names along an axis are set smaller from so many on.
const NAMES_CROWDED: usize = 6;
const SMALL_FONT_SIZE: u32 = 12;

/// Fit for a page of either colour, and told apart by those who see fewer of them.
fn colour(name: &str) -> RGBColor {
    match name {
        "select" | "select, limit 1024" => RGBColor(0xd1, 0x49, 0x5b),
        "poll" => RGBColor(0xe0, 0x8e, 0x0b),
        "epoll" | "reactor" => RGBColor(0x2a, 0x7f, 0xba),
        "epoll-edge" | "threads" => RGBColor(0x3a, 0x9d, 0x5d),
        "fork" => RGBColor(0xd1, 0x49, 0x5b),
        "prefork" => RGBColor(0xe0, 0x8e, 0x0b),
        "thread-pool" => RGBColor(0x8e, 0x6b, 0xbf),
        "coroutines" => RGBColor(0x4a, 0xb5, 0xb5),
        _ => RGBColor(0x80, 0x80, 0x80),
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

impl Canvas {
    /// A line each.
    pub fn lines(&self, lines: &[Line]) -> String {
        let points = || lines.iter().flat_map(|line| &line.points);
        let (x0, x1) = bounds(points().map(|point| point.0), &self.x_scale);
        let (y0, y1) = bounds(points().flat_map(|point| [point.1.least, point.1.greatest]), &self.y_scale);
        let y1 = if lines.len() <= NAMES_IN_CORNER_MAX
            && points().any(|(x, y)| {
                is_under_legend(share(*x, x0, x1, &self.x_scale), share(y.greatest, y0, y1, &self.y_scale))
            }) {
            higher(y0, y1, &self.y_scale)
        } else {
            y1
        };
        draw(|area| match (&self.x_scale, &self.y_scale) {
            (Scale::Log, Scale::Log) => self.on(area, (x0..x1).log_scale(), (y0..y1).log_scale(), lines),
            (Scale::Log, _) => self.on(area, (x0..x1).log_scale(), y0..y1, lines),
            (_, Scale::Log) => self.on(area, x0..x1, (y0..y1).log_scale(), lines),
            (..) => self.on(area, x0..x1, y0..y1, lines),
        })
    }

    fn on<X, Y>(&self, area: &Area<'_>, x: X, y: Y, lines: &[Line]) -> Drawn
    where
        X: AsRangedCoord<Value = f64>,
        Y: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let names_above = if lines.len() > NAMES_IN_CORNER_MAX { lines.len().div_ceil(NAMES_A_ROW) as i32 } else { 0 };
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .margin_right(24)
            .margin_top(12 + names_above * NAME_HEIGHT)
            .x_label_area_size(48)
            .y_label_area_size(72)
            .build_cartesian_2d(x, y)?;
        let font = (FONT, FONT_SIZE).into_font().color(&TEXT_COLOUR);
        let x_font = (FONT, names_font_size(&self.x_scale)).into_font().color(&TEXT_COLOUR);
        let name_x = |value: &f64| match &self.x_scale {
            Scale::Words(words) => word(words, *value),
            Scale::Linear | Scale::Log => tick(*value),
        };
        let labels = match &self.x_scale {
            Scale::Words(words) => words.len() * 2 + 1,
            Scale::Linear | Scale::Log => 8,
        };
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID_COLOUR)
            .axis_style(TEXT_COLOUR)
            .label_style(font.clone())
            .axis_desc_style(font.clone())
            .x_labels(labels)
            .y_labels(8)
            .x_label_formatter(&name_x)
            .y_label_formatter(&|value| tick(*value))
            .x_label_style(x_font)
            .x_desc(self.x)
            .y_desc(self.y)
            .draw()?;
        for line in lines {
            let colour = colour(&line.name);
            let medians = line.points.iter().map(|(x, y)| (*x, y.median));
            let drawn = chart.draw_series(LineSeries::new(medians.clone(), colour.stroke_width(2)))?;
            if names_above == 0 {
                drawn
                    .label(line.name.clone())
                    .legend(move |(x, y)| Rectangle::new([(x, y - 3), (x + 18, y + 3)], colour.filled()));
            }
            match TRIANGLES.contains(&line.name.as_str()) {
                true => chart.draw_series(medians.map(|point| TriangleMarker::new(point, 6, colour.filled())))?,
                false => chart.draw_series(medians.map(|point| Circle::new(point, 4, colour.filled())))?,
            };
            let reach =
                |(x, y): &(f64, Spread)| PathElement::new([(*x, y.least), (*x, y.greatest)], colour.stroke_width(1));
            chart.draw_series(line.points.iter().map(reach))?;
        }
        if names_above > 0 {
            return name_above(area, lines);
        }
        chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).margin(14).label_font(font).draw()
    }

    /// Stacked bars, in groups.
    pub fn bars(&self, bars: &[Bar]) -> String {
        const PARTS: [RGBColor; 9] = [
            RGBColor(0x2a, 0x7f, 0xba),
            RGBColor(0xd1, 0x49, 0x5b),
            RGBColor(0x8e, 0x6b, 0xbf),
            RGBColor(0x3a, 0x9d, 0x5d),
            RGBColor(0xe0, 0x8e, 0x0b),
            RGBColor(0x80, 0x80, 0x80),
            RGBColor(0x4a, 0xb5, 0xb5),
            RGBColor(0x9c, 0x6b, 0x4a),
            RGBColor(0xc4, 0x7a, 0xb0),
        ];
        let total = |bar: &Bar| bar.parts.iter().map(|(_, count)| count).sum::<f64>();
        let highest = bars.iter().map(total).fold(1.0, f64::max) * 1.35; // Room for the legend.
        let words: Vec<String> = bars.iter().map(|bar| format!("{} {}", bar.group, bar.name)).collect();
        draw(|area| {
            let mut chart = ChartBuilder::on(area)
                .margin(12)
                .x_label_area_size(52)
                .y_label_area_size(56)
                .build_cartesian_2d(-0.6..bars.len() as f64 - 0.4, 0.0..highest)?;
            let font = (FONT, FONT_SIZE).into_font().color(&TEXT_COLOUR);
            let mut mesh = chart.configure_mesh();
            mesh.disable_x_mesh().disable_x_axis().light_line_style(TRANSPARENT).bold_line_style(GRID_COLOUR);
            mesh.axis_style(TEXT_COLOUR).label_style(font.clone()).axis_desc_style(font.clone());
            mesh.y_desc(self.y).y_label_formatter(&|value| tick(*value)).draw()?;
            for (at, part) in bars[0].parts.iter().enumerate() {
                let colour = PARTS[at % PARTS.len()];
                let rectangle = |(x, bar): (usize, &Bar)| {
                    let below: f64 = bar.parts[..at].iter().map(|(_, count)| count).sum();
                    let x = x as f64;
                    Rectangle::new([(x - 0.36, below), (x + 0.36, below + bar.parts[at].1)], colour.filled())
                };
                chart
                    .draw_series(bars.iter().enumerate().map(rectangle))?
                    .label(part.0.clone())
                    .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled()));
            }
            let crowded = if bars.len() >= NAMES_CROWDED { SMALL_FONT_SIZE } else { FONT_SIZE };
            let names_font = (FONT, crowded).into_font().color(&TEXT_COLOUR);
            let centre = names_font.pos(Pos::new(HPos::Center, VPos::Top));
            for (at, words) in words.iter().enumerate() {
                let (group, name) = words.split_once(' ').unwrap_or((words, ""));
                let (x, y) = chart.backend_coord(&(at as f64, 0.0));
                area.draw(&Text::new(name.to_string(), (x, y + 8), centre.clone()))?;
                if at == 0 || !words.starts_with(&bars[at - 1].group) {
                    let last = bars.iter().rposition(|bar| bar.group == group).unwrap_or(at);
                    let (end, _) = chart.backend_coord(&(last as f64, 0.0));
                    area.draw(&Text::new(group.to_string(), ((x + end) / 2, y + 30), centre.clone()))?;
                }
            }
            chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).margin(14).label_font(font).draw()
        })
    }

    /// A dot each, in the column of its name.
    pub fn dots(&self, names: &[&str], dots: &[(usize, f64)]) -> String {
        let (low, high) = bounds(dots.iter().map(|dot| dot.1), &Scale::Words(Vec::new()));
        draw(|area| {
            let lines: [Line; 0] = [];
            let x = -0.5..names.len() as f64 - 0.5;
            self.on(area, x.clone(), low..high, &lines)?;
            let mut chart = ChartBuilder::on(area)
                .margin(12)
                .margin_right(24)
                .x_label_area_size(48)
                .y_label_area_size(72)
                .build_cartesian_2d(x, low..high)?;
            // Side by side a little, in their order, so that equal ones do not hide each other.
            let place = |at: usize, index: usize| at as f64 + ((index * 7 % 15) as f64 - 7.0) / 30.0;
            chart.draw_series(dots.iter().enumerate().map(|(index, (at, value))| {
                Circle::new((place(*at, index), *value), 3, colour(names[*at]).mix(0.7).filled())
            }))?;
            Ok(())
        })
    }
}

/// The names of lines, in rows above them.
fn name_above(area: &Area<'_>, lines: &[Line]) -> Drawn {
    let font = (FONT, FONT_SIZE).into_font().color(&TEXT_COLOUR).pos(Pos::new(HPos::Left, VPos::Center));
    for (at, line) in lines.iter().enumerate() {
        let (column, row) = ((at % NAMES_A_ROW) as i32, (at / NAMES_A_ROW) as i32);
        let (x, y) = (24 + column * NAME_WIDTH, 16 + row * NAME_HEIGHT);
        let colour = colour(&line.name).filled();
        match TRIANGLES.contains(&line.name.as_str()) {
            true => area.draw(&TriangleMarker::new((x + 8, y), 7, colour))?,
            false => area.draw(&Circle::new((x + 8, y), 5, colour))?,
        }
        area.draw(&Text::new(line.name.clone(), (x + 20, y), font.clone()))?;
    }
    Ok(())
}

fn names_font_size(scale: &Scale) -> u32 {
    match scale {
        Scale::Words(words) if words.len() >= NAMES_CROWDED => SMALL_FONT_SIZE,
        Scale::Words(_) | Scale::Linear | Scale::Log => FONT_SIZE,
    }
}

/// The SVG that `onto` draws.
fn draw(onto: impl FnOnce(&Area<'_>) -> Drawn) -> String {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        onto(&area).and_then(|()| area.present()).expect("drawing into memory does not fail");
    }
    svg
}

/// A value at an axis: `10`, not `10.0`.
fn tick(value: f64) -> String {
    if value.fract().abs() < 1e-9 {
        format!("{}{}", if value < 0.0 { "-" } else { "" }, thousands(value.abs() as u64))
    } else {
        figure(value)
    }
}

fn word(words: &[String], value: f64) -> String {
    let whole = value.round();
    let is_whole = (value - whole).abs() < 1e-6 && whole >= 0.0;
    if is_whole { words.get(whole as usize).cloned().unwrap_or_default() } else { String::new() }
}

/// How far along its axis a value lies, of 1.
fn share(value: f64, low: f64, high: f64, scale: &Scale) -> f64 {
    match scale {
        Scale::Log => (value / low).ln() / (high / low).ln(),
        Scale::Linear | Scale::Words(_) => (value - low) / (high - low),
    }
}

/// Names of lines stand in the upper left corner.
fn is_under_legend(x: f64, y: f64) -> bool {
    x < 0.3 && y > 0.65
}

/// An end of the axis that leaves the upper third to the names.
fn higher(low: f64, high: f64, scale: &Scale) -> f64 {
    match scale {
        Scale::Log => high * (high / low).sqrt(),
        Scale::Linear | Scale::Words(_) => high + (high - low) / 2.0,
    }
}

/// From below the least value to above the greatest.
fn bounds(values: impl Iterator<Item = f64>, scale: &Scale) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    values.for_each(|value| (low, high) = (low.min(value), high.max(value)));
    match scale {
        Scale::Log => (low.max(1e-3) / 1.3, high.max(1e-3) * 1.3),
        Scale::Linear => (0.0, high.max(1e-9) * 1.08),
        Scale::Words(_) => (low - 0.5, high + 0.5),
    }
}
