//! Ctrl-C: noticed, not obeyed at once, so that nothing half is left behind. A second one ends the process.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C is only noticed; see [`asked`].
pub fn watch() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let noticed = ctrlc::set_handler(|| {
            if ASKED.swap(true, Ordering::Relaxed) {
                std::process::exit(3);
            }
        });
        if let Err(error) = noticed {
            eprintln!("warning: Ctrl-C will stop at once and may leave a temporary folder: {error}");
        }
    });
}

/// Whether Ctrl-C was pressed.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
