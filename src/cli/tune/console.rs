//! What a user sees of a running session: a bar on a terminal, notes on standard error.

use indicatif::ProgressBar;

use super::super::{Common, interrupt, progress};
use crate::tune::session::folder::Folder;
use crate::tune::session::{Observer, Progress};

pub struct Console {
    bar: ProgressBar,
    begun: bool,
    folder: Folder,
}

impl Console {
    pub fn new(common: &Common, folder: Folder) -> Console {
        Console {
            bar: progress::bar(common, 0, "trials"),
            begun: false,
            folder,
        }
    }

    /// Prints a note above the bar, and keeps it in the session's folder.
    pub fn say(&mut self, text: &str) {
        self.folder.note(text);
        self.bar.suspend(|| eprintln!("{text}"));
    }

    pub fn end(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Console {
    fn progress(&mut self, now: &Progress) {
        if self.bar.is_hidden() {
            return;
        }
        if !self.begun {
            self.begun = true;
            self.bar.set_length(now.of);
            // The rate and the time left are of what is evaluated, not of what the log had already.
            self.bar.set_position(now.resumed);
            self.bar.reset_eta();
        }
        self.bar.set_position(now.trials);
        let mut text = "trials".to_owned();
        if let Some((id, value)) = now.best {
            text += &format!(", best {value:.6} (trial {id})");
        }
        if now.workers > 0 {
            text += &format!(", {} workers", now.workers);
        }
        self.bar.set_message(text);
    }

    fn note(&mut self, text: &str) {
        self.say(text);
    }

    fn interrupted(&mut self) -> bool {
        interrupt::asked()
    }
}
