//! Bounds the receiver's memory: a request is admitted, and its bytes are counted, before they are
//! read. There is no queue: the sender of a request beyond the limit is asked to retry.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Unavailable, failure::Failure, limits::ReceiverLimits};

#[derive(Clone, Debug)]
pub(super) struct AdmissionControl {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    bytes_at_most: usize,
    retry_after: Duration,
}

/// The admission of one request. Its share is released when it is dropped.
#[derive(Debug)]
pub(super) struct AdmissionPermit {
    control: AdmissionControl,
    _request: OwnedSemaphorePermit,
    bytes: Option<OwnedSemaphorePermit>,
}

impl AdmissionControl {
    pub(super) fn new(limits: &ReceiverLimits) -> Self {
        let bytes_at_most = limits
            .bytes_in_flight
            .min(Semaphore::MAX_PERMITS)
            .min(u32::MAX as usize);
        Self {
            requests: Arc::new(Semaphore::new(limits.requests)),
            bytes: Arc::new(Semaphore::new(bytes_at_most)),
            bytes_at_most,
            retry_after: limits.retry_after,
        }
    }

    pub(super) fn enter(&self) -> Result<AdmissionPermit, Unavailable> {
        let request = Arc::clone(&self.requests).try_acquire_owned();
        Ok(AdmissionPermit {
            control: self.clone(),
            _request: request.map_err(|_| self.turned_away("too many requests at once"))?,
            bytes: None,
        })
    }

    pub(super) fn turned_away(&self, reason: &str) -> Unavailable {
        Unavailable {
            reason: reason.to_owned(),
            retry_after: self.retry_after,
        }
    }
}

impl AdmissionPermit {
    /// Counts `count` more bytes that this request is about to use.
    pub(super) fn charge(&mut self, count: usize) -> Result<(), Failure> {
        let limit = self.control.bytes_at_most;
        let held = self.bytes.as_ref();
        let held = held.map_or(0, OwnedSemaphorePermit::num_permits);
        let too_large = Failure::TooLarge { limit };
        // A retry would not help: even alone, the request exceeds the limit.
        if held.saturating_add(count) > limit {
            return Err(too_large);
        }
        let count = u32::try_from(count).map_err(|_| too_large)?;
        let more = Arc::clone(&self.control.bytes)
            .try_acquire_many_owned(count)
            .map_err(|_| self.control.turned_away("too many bytes at once"))?;
        match &mut self.bytes {
            Some(bytes) => bytes.merge(more),
            None => self.bytes = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control() -> AdmissionControl {
        AdmissionControl::new(&ReceiverLimits {
            requests: 2,
            bytes_in_flight: 100,
            ..ReceiverLimits::default()
        })
    }

    #[test]
    fn one_request_too_many_is_turned_away_until_another_leaves() {
        let control = control();
        let first = control.enter().unwrap();
        let _second = control.enter().unwrap();
        assert!(control.enter().is_err());
        drop(first);
        assert!(control.enter().is_ok());
    }

    #[test]
    fn bytes_are_given_back_and_what_never_fits_is_too_large() {
        let control = control();
        let (mut first, mut second) = (control.enter().unwrap(), control.enter().unwrap());
        first.charge(40).unwrap();
        first.charge(40).unwrap();
        assert!(matches!(second.charge(30), Err(Failure::Unavailable(_))));
        assert_eq!(second.charge(101), Err(Failure::TooLarge { limit: 100 }));
        drop(first);
        second.charge(30).unwrap();
    }
}
