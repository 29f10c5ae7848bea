//! What a run was told to do.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::fx::{FxConfig, FxDeskError};
use crate::live::PipelineError;
use crate::venue::VenueConfig;

/// What a run was told to do: enough to make its pipeline again. Journals hold it in every segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Venues, in the order of [`VenueIx`].
    pub venues: Vec<VenueSetup>,
    /// Exchange rates, if they were wanted.
    pub fx: Option<FxConfig>,
}

/// A venue and its markets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VenueSetup {
    /// The venue file, complete.
    pub config: VenueConfig,
    /// Markets in the venue's spelling.
    pub markets: Vec<String>,
}

/// Why a run cannot be made of a setup.
#[derive(Debug, Error)]
pub enum SetupError {
    /// Venues and markets do not fit together.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// `[fx]` makes no sense.
    #[error(transparent)]
    Fx(#[from] FxDeskError),
    /// It is not the text of a setup.
    #[error("what the run was told cannot be read: {0}")]
    Text(#[from] serde_json::Error),
}

impl Setup {
    /// As text, for a journal.
    ///
    /// # Errors
    /// When a value has no JSON form, which none of these types brings about.
    pub fn to_text(&self) -> Result<String, SetupError> {
        Ok(serde_json::to_string(self)?)
    }

    /// From its text.
    ///
    /// # Errors
    /// [`SetupError::Text`].
    pub fn parse(text: &str) -> Result<Setup, SetupError> {
        Ok(serde_json::from_str(text)?)
    }
}
