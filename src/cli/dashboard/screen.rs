//! What the terminal UI shows and what a key means, without a terminal.
//!
//! Nothing of an agent's is drawn but by [`shown`]: what steers a terminal or can't be seen is an escape.

use super::{Denied, Pending, View};
use crate::cli::proposals::{self, Decided};
use crate::printable::printable_name;
use crate::supervise::ProposalId;
use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Wrap};
use serde_json::Value;

/// Bytes of a reason, as `reject` takes it.
const LONGEST_REASON: usize = proposals::LONGEST_NOTES;
/// Lines that a page moves.
const PAGE: u16 = 10;

const KEYS: &str =
    "↑↓ choose  PgUp PgDn scroll  a approve  m modify in $EDITOR  r reject  Tab other page  q quit";

/// One of the pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Page {
    #[default]
    Waiting,
    Refused,
    Decided,
}

/// A proposal, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    /// The Compose project, by which every verb finds the bottle.
    pub(super) project: String,
    pub(super) id: ProposalId,
}

/// What a key asks for that the screen can't do itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    Quit,
    Approve(Chosen),
    Modify(Chosen),
    Reject(Chosen, String),
}

/// What is shown now.
#[derive(Default)]
pub(super) struct Screen {
    views: Option<Vec<View>>,
    page: Page,
    chosen: Option<Chosen>,
    scroll: u16,
    /// The reason that is being typed, and for what: it stays that one whatever is listed meanwhile.
    reason: Option<(Chosen, String)>,
    note: String,
}

/// A text of somebody else's, in a line.
fn shown(text: &str) -> String {
    printable_name(text).into_owned()
}

impl Screen {
    /// Takes what was looked at last. The same proposal stays chosen while it waits.
    pub(super) fn update(&mut self, views: Vec<View>) {
        self.views = Some(views);
        let all = self.proposals();
        if !self.chosen.as_ref().is_some_and(|chosen| all.contains(chosen)) {
            self.chosen = all.into_iter().next();
            self.scroll = 0;
        }
    }

    /// Says what became of something.
    pub(super) fn note(&mut self, note: &str) {
        self.note = shown(note);
    }

    fn views(&self) -> &[View] {
        self.views.as_deref().unwrap_or_default()
    }

    fn proposals(&self) -> Vec<Chosen> {
        let of = |view: &View| {
            let project = view.project.clone();
            let chosen = move |it: &Pending| Chosen { project: project.clone(), id: it.id.clone() };
            view.pending.iter().map(chosen).collect::<Vec<_>>()
        };
        self.views().iter().flat_map(of).collect()
    }

    fn pending(&self) -> Option<(&View, &Pending)> {
        let chosen = self.chosen.as_ref()?;
        let view = self.views().iter().find(|view| view.project == chosen.project)?;
        view.pending.iter().find(|it| it.id == chosen.id).map(|pending| (view, pending))
    }

    /// What a key means now.
    pub(super) fn key(&mut self, key: KeyEvent) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return (key.code == KeyCode::Char('c')).then_some(Action::Quit);
        }
        if let Some((chosen, reason)) = self.reason.take() {
            return self.typed(key.code, chosen, reason);
        }
        self.note.clear();
        let chosen = self.chosen.clone().filter(|_| self.page == Page::Waiting);
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Some(Action::Quit),
            KeyCode::Tab => {
                self.page = match self.page {
                    Page::Waiting => Page::Refused,
                    Page::Refused => Page::Decided,
                    Page::Decided => Page::Waiting,
                };
                self.scroll = 0;
            }
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_add(PAGE),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(PAGE),
            KeyCode::Char('a') => return chosen.map(Action::Approve),
            KeyCode::Char('m') => return chosen.map(Action::Modify),
            KeyCode::Char('r') => self.reason = chosen.map(|chosen| (chosen, String::new())),
            _ => {}
        }
        None
    }

    fn typed(&mut self, key: KeyCode, chosen: Chosen, mut reason: String) -> Option<Action> {
        match key {
            KeyCode::Esc => return None,
            KeyCode::Enter if !reason.trim().is_empty() => return Some(Action::Reject(chosen, reason)),
            KeyCode::Backspace => {
                reason.pop();
            }
            KeyCode::Char(c) if reason.len() + c.len_utf8() <= LONGEST_REASON => reason.push(c),
            _ => {}
        }
        self.reason = Some((chosen, reason));
        None
    }

    fn step(&mut self, by: isize) {
        if self.page != Page::Waiting {
            self.scroll = self.scroll.saturating_add_signed(if by > 0 { 1 } else { -1 });
            return;
        }
        let all = self.proposals();
        let now = all.iter().position(|it| Some(it) == self.chosen.as_ref()).unwrap_or_default();
        if let Some(next) = all.get(now.saturating_add_signed(by)) {
            self.chosen = Some(next.clone());
            self.scroll = 0;
        }
    }

    /// Draws all of it.
    pub(super) fn draw(&self, frame: &mut Frame) {
        let bottles = self.bottles();
        let height = u16::try_from(bottles.len()).unwrap_or(u16::MAX).saturating_add(2).min(8);
        let [top, body, foot] =
            Layout::vertical([Constraint::Length(height), Constraint::Min(3), Constraint::Length(2)])
                .areas(frame.area());
        frame.render_widget(Paragraph::new(bottles).block(block(" bottles ")), top);
        match self.page {
            Page::Waiting => self.draw_waiting(frame, body),
            Page::Refused => self.draw_list(frame, body, " refused in the last day ", self.refused()),
            Page::Decided => self.draw_list(frame, body, " decided ", self.decided()),
        }
        let last = match &self.reason {
            Some((chosen, reason)) => {
                Line::from(format!("why is {} rejected? {}▏ (Enter, Esc)", chosen.id, shown(reason)))
            }
            None => Line::from(self.note.clone()),
        };
        let keys = Line::from(KEYS).style(Style::new().add_modifier(Modifier::DIM));
        frame.render_widget(Paragraph::new(vec![last, keys]), foot);
    }

    fn bottles(&self) -> Vec<Line<'_>> {
        let Some(views) = &self.views else { return vec![Line::from("looking …")] };
        if views.is_empty() {
            return vec![Line::from(super::NONE)];
        }
        let line = |view: &View| {
            let runs = if view.running { "runs" } else { "does not run" };
            let mut said = format!("{}  {runs}  {} wait", shown(&view.name), view.pending.len());
            if view.unreadable > 0 {
                said.extend(["  ", &view.unreadable.to_string(), " files are no proposals"]);
            }
            for problem in &view.problems {
                said.extend(["  note: ", &shown(problem)]);
            }
            Line::from(said)
        };
        views.iter().map(line).collect()
    }

    fn draw_waiting(&self, frame: &mut Frame, area: Rect) {
        let [list, detail] =
            Layout::horizontal([Constraint::Percentage(35), Constraint::Percentage(65)]).areas(area);
        let mut lines = Vec::new();
        let mut at = 0;
        for view in self.views() {
            for pending in &view.pending {
                let is_chosen =
                    self.pending().is_some_and(|(of, it)| of.project == view.project && it.id == pending.id);
                let mark = if is_chosen { "▶ " } else { "  " };
                if is_chosen {
                    at = lines.len();
                }
                let style = if is_chosen { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
                let text = format!("{mark}{} {} {}", pending.id, shown(&view.name), shown(&pending.asks));
                lines.push(Line::from(text).style(style));
            }
        }
        if lines.is_empty() {
            lines.push(Line::from("nothing waits for you"));
        }
        let room = usize::from(list.height.saturating_sub(2)).max(1);
        let scroll = u16::try_from((at + 1).saturating_sub(room)).unwrap_or(u16::MAX);
        let lines = Paragraph::new(lines).scroll((scroll, 0)).block(block(" waiting "));
        frame.render_widget(lines, list);
        let text = self.pending().map(|(view, pending)| details(view, pending)).unwrap_or_default();
        self.draw_list(frame, detail, " what it asks, and what it would change ", text);
    }

    fn draw_list(&self, frame: &mut Frame, area: Rect, title: &'static str, lines: Vec<Line<'_>>) {
        let text = Paragraph::new(lines).wrap(Wrap { trim: false }).scroll((self.scroll, 0));
        frame.render_widget(text.block(block(title)), area);
    }

    fn refused(&self) -> Vec<Line<'_>> {
        let of = |view: &View| {
            let name = shown(&view.name);
            let line = move |Denied { time, request, reason }: &Denied| {
                let time = time.strftime("%Y-%m-%d %H:%M:%S");
                Line::from(format!("{time} {name}  {} [{}]", shown(request), shown(reason)))
            };
            view.denied.iter().rev().map(line).collect::<Vec<_>>()
        };
        self.views().iter().flat_map(of).collect()
    }

    fn decided(&self) -> Vec<Line<'_>> {
        let of = |view: &View| {
            let name = shown(&view.name);
            let line = move |Decided { time, who, id, verdict, notes, ask, .. }: &Decided| {
                let time = time.strftime("%Y-%m-%d %H:%M");
                let asks = proposals::described(ask);
                let text = format!("{name}  {id} {} by {who}: {asks}  {notes}", verdict.as_str());
                Line::from(format!("{time} {}", shown(&text)))
            };
            view.history.iter().rev().map(line).collect::<Vec<_>>()
        };
        self.views().iter().flat_map(of).collect()
    }
}

fn block(title: &'static str) -> Block<'static> {
    Block::new().borders(Borders::ALL).title(title)
}

/// All of a proposal: nothing is cut.
fn details(view: &View, pending: &Pending) -> Vec<Line<'static>> {
    let Pending { id, time, asks, justification, stale, beyond, changes, obstacle } = pending;
    let strong = Style::new().add_modifier(Modifier::BOLD);
    let head =
        |name: &'static str, text: &str| Line::from(vec![Span::styled(name, strong), Span::raw(shown(text))]);
    let made = format!("{id}, {}, of {}", time.strftime("%Y-%m-%d %H:%M"), view.name);
    let mut lines = vec![head("proposal  ", &made)];
    if *stale {
        lines.push(Line::from("made under older rules; what it changes is of now"));
    }
    lines.push(head("asks      ", asks));
    lines.push(head("says      ", justification));
    lines.extend(beyond.iter().map(|it| head("not asked for, and allowed with it: ", it)));
    lines.push(Line::default());
    for change in changes.as_ref().and_then(Value::as_array).into_iter().flatten() {
        let risk = change["risk"]["class"].as_str().unwrap_or("less");
        let text = change["text"].as_str().unwrap_or_default();
        let risk = Span::styled(format!("{:<10}", shown(risk)), strong);
        lines.push(Line::from(vec![risk, Span::raw(shown(text))]));
    }
    if let Some(obstacle) = obstacle {
        lines.push(head("can't be approved as it is: ", obstacle));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    const STEERS: &str = "\u{1b}[2J\u{202e}\u{9b}31m\u{7}<b>";

    fn pending(id: &str) -> Pending {
        Pending {
            id: id.parse().unwrap(),
            time: Timestamp::UNIX_EPOCH,
            asks: format!("GET https://a.test /{id}{STEERS}"),
            justification: format!("because{STEERS}"),
            stale: true,
            beyond: vec![format!("POST on /x{STEERS}")],
            changes: Some(json!([{"risk": {"class": "reach"}, "text": format!("reads a.test{STEERS}")}])),
            obstacle: Some(format!("no way{STEERS}")),
        }
    }

    fn view(project: &str, ids: &[&str]) -> View {
        View {
            name: format!("dev{STEERS}"),
            project: project.to_owned(),
            manifest: "/p/bottle.yaml".into(),
            running: true,
            pending: ids.iter().map(|id| pending(id)).collect(),
            unreadable: 3,
            denied: vec![Denied {
                time: Timestamp::UNIX_EPOCH,
                request: format!("GET evil.test/{STEERS}"),
                reason: "host_not_allowed".to_owned(),
            }],
            history: serde_json::from_value(json!([{"time": "2026-11-28T10:00:00Z", "who": "ada(1)",
                "id": "0123456789ab", "verdict": "rejected", "notes": format!("no{STEERS}"), "changes": [],
                "digest": "sha256:0",
                "ask": {"pipelock-block": {"failed_url": "https://a.test/x", "justification": "x"}}}]))
            .unwrap(),
            problems: vec![format!("trouble{STEERS}")],
        }
    }

    fn drawn(screen: &Screen, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>() + "\n";
        (0..height).map(row).collect()
    }

    fn press(screen: &mut Screen, keys: &[KeyCode]) -> Option<Action> {
        keys.iter().fold(None, |_, key| screen.key(KeyEvent::new(*key, KeyModifiers::NONE)))
    }

    fn chosen(project: &str, id: &str) -> Chosen {
        Chosen { project: project.to_owned(), id: id.parse().unwrap() }
    }

    const ONE: &str = "000000000001";
    const TWO: &str = "000000000002";
    const C: fn(char) -> KeyCode = KeyCode::Char;

    #[test]
    fn every_page_shows_what_it_is_for_and_nothing_that_steers() {
        let mut screen = Screen::default();
        assert!(drawn(&screen, 100, 30).contains("looking …"));
        screen.update(vec![view("p", &[ONE, TWO])]);
        let waiting = drawn(&screen, 160, 40);
        for text in [
            "runs  2 wait  3 files are no proposals",
            "note: trouble",
            "▶ 000000000001",
            "made under older rules",
            "says      because",
            "not asked for, and allowed with it: POST on /x",
            "reach     reads a.test",
            "can't be approved as it is: no way",
            r"\u{1b}[2J\u{202e}\u{9b}31m\u{7}<b>",
            "a approve",
        ] {
            assert!(waiting.contains(text), "{text}\n{waiting}");
        }
        press(&mut screen, &[KeyCode::Tab]);
        let refused = drawn(&screen, 160, 40);
        assert!(refused.contains("GET evil.test/") && refused.contains("[host_not_allowed]"), "{refused}");
        press(&mut screen, &[KeyCode::Tab]);
        let decided = drawn(&screen, 160, 40);
        assert!(decided.contains("0123456789ab rejected by ada(1): GET https://a.test/x"), "{decided}");
        for text in [waiting, refused, decided] {
            assert!(!text.chars().any(|c| crate::printable::is_unprintable(c) && c != '\n'), "{text:?}");
        }
        for (width, height) in [(1, 1), (5, 3), (20, 6), (300, 100)] {
            drawn(&screen, width, height);
        }
    }

    #[test]
    fn a_key_is_about_the_chosen_proposal_whatever_comes_meanwhile() {
        let mut screen = Screen::default();
        assert_eq!(press(&mut screen, &[C('a')]), None, "nothing is chosen");
        screen.update(vec![view("p", &[ONE]), view("q", &[ONE, TWO])]);
        assert_eq!(press(&mut screen, &[C('a')]), Some(Action::Approve(chosen("p", ONE))));
        assert_eq!(press(&mut screen, &[KeyCode::Down, C('m')]), Some(Action::Modify(chosen("q", ONE))));
        // An earlier one ends, and another comes before it.
        screen.update(vec![view("q", &[TWO, ONE])]);
        assert_eq!(press(&mut screen, &[C('a')]), Some(Action::Approve(chosen("q", ONE))));
        assert_eq!(press(&mut screen, &[KeyCode::Tab, C('a')]), None, "no list of proposals is shown");
        press(&mut screen, &[KeyCode::Tab, KeyCode::Tab, C('r'), C('n')]);
        screen.update(vec![view("q", &[TWO])]);
        let rejected = press(&mut screen, &[C('o'), KeyCode::Enter]);
        assert_eq!(rejected, Some(Action::Reject(chosen("q", ONE), "no".to_owned())));
        assert_eq!(press(&mut screen, &[C('a')]), Some(Action::Approve(chosen("q", TWO))));
        screen.update(Vec::new());
        assert_eq!(press(&mut screen, &[C('a')]), None);
        assert_eq!(press(&mut screen, &[C('q')]), Some(Action::Quit));
    }

    #[test]
    fn a_reason_is_typed_bounded_and_can_be_left() {
        let mut screen = Screen::default();
        screen.update(vec![view("p", &[ONE])]);
        assert_eq!(
            press(&mut screen, &[C('r'), KeyCode::Enter, C(' '), KeyCode::Enter]),
            None,
            "it is empty"
        );
        assert!(drawn(&screen, 100, 30).contains("why is 000000000001 rejected?"));
        assert_eq!(press(&mut screen, &[KeyCode::Esc]), None);
        assert!(!drawn(&screen, 100, 30).contains("rejected?"));
        press(&mut screen, &[C('r')]);
        press(&mut screen, &vec![C('é'); 2000]);
        let Some(Action::Reject(_, reason)) = press(&mut screen, &[KeyCode::Backspace, KeyCode::Enter])
        else {
            panic!()
        };
        assert_eq!(reason.len(), LONGEST_REASON - 2);
        let quit = screen.key(KeyEvent::new(C('c'), KeyModifiers::CONTROL));
        assert_eq!(quit, Some(Action::Quit));
    }
}
