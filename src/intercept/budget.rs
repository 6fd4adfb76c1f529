//! One budget of memory for every body in flight, shared fairly.
//!
//! A request body takes what its scanner, its decoder and its parts that wait may hold, before they hold it; a response
//! takes what its origin may send ahead. The sum never exceeds the budget. When it is short, bodies that hold some of it and do not move are the ones to give it back:
//! of those that came no further for [`BudgetLimits::patience`], the one with the most bytes times seconds goes first.
//! What comes new waits for that, up to [`BudgetLimits::wait`]. Decoders leave a part of the budget to bodies that need none,
//! and large decoders a part of theirs to small ones, so that a small body is served whatever the others hold.

use super::body::BodyError;
use futures_util::task::AtomicWaker;
use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

/// What pipelock takes for bodies. The rendered stack gives it 768 MiB. The rest is for what is not in here: the
/// process with its patterns (about 60 MiB), leaves, and what each of 512 exchanges may hold whatever becomes of it:
/// in the kernel's socket buffers at most 950 KiB ([`crate::socket`]), or else in TLS, read and send buffers and windows some 300 KiB.
const TOTAL: usize = 256 << 20;
/// What decoders may take of it …
const DECODERS: usize = 160 << 20;
/// … and of that the large ones: 14 with the largest zstd window, 6 with the largest of brotli at the same time.
const LARGE_DECODERS: usize = 128 << 20;
/// A decoder that takes more is large.
const LARGE: usize = 1 << 20;
/// Who moved fewer bytes than these did not move: a byte now and then holds no share.
const STEP: usize = 16 << 10;
/// Looking for room again, if nobody said that there is some.
const TICK: Duration = Duration::from_millis(100);

/// How much there is, and how long is waited for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BudgetLimits {
    /// Bytes for all bodies.
    pub(crate) total: usize,
    /// Bytes of `total` for decoders.
    pub(crate) decoders: usize,
    /// Bytes of `decoders` for those that take more than 1 MiB.
    pub(crate) large_decoders: usize,
    /// How long a body may hold its share and not move, when others need it.
    pub(crate) patience: Duration,
    /// How long a body waits for room; longer than `patience`.
    pub(crate) wait: Duration,
}

impl Default for BudgetLimits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            total: TOTAL,
            decoders: DECODERS,
            large_decoders: LARGE_DECODERS,
            patience: seconds(2),
            wait: seconds(5),
        }
    }
}

impl BudgetLimits {
    /// The most that decoders may take together once one like this has its memory.
    fn decoders_with(&self, decoder: usize) -> usize {
        if decoder > LARGE { self.large_decoders } else { self.decoders }
    }
}

/// What a body takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BodyMemory {
    /// Its parts and its scanner.
    pub(crate) text: usize,
    /// Its decoder.
    pub(crate) decoder: usize,
}

impl BodyMemory {
    fn bytes(self) -> usize {
        self.text + self.decoder
    }
}

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRoom {
    /// Others hold it, and they move.
    #[error("other requests take all memory for bodies in flight")]
    Short,
    /// What this body held was taken from it, since it did not move.
    #[error("the body made no progress while other requests needed its memory")]
    Taken,
}

impl From<NoRoom> for BodyError {
    fn from(why: NoRoom) -> Self {
        Self::Refused(Box::new(why))
    }
}

/// Something that holds memory and can release it.
pub(crate) trait Holder: Send + Sync {
    /// Frees what is held, unless it is in use right now. Says whether it did.
    fn release(&self) -> bool;
}

/// The memory for bodies in flight, and who holds how much of it.
pub(crate) struct Budget {
    limits: BudgetLimits,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Default)]
struct State {
    used: usize,
    decoders: usize,
    next: u64,
    shares: HashMap<u64, Entry>,
}

struct Entry {
    holds: BodyMemory,
    moved: Instant,
    /// Bytes since `moved` was set.
    step: usize,
    /// Waits for room itself.
    waiting: bool,
    taken: bool,
    holder: Option<Weak<dyn Holder>>,
}

impl Budget {
    pub(crate) fn new(limits: BudgetLimits) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default(), freed: Notify::new() })
    }

    /// Bytes that are taken now.
    pub(crate) fn used(&self) -> usize {
        self.state().used
    }

    /// Bytes that there are.
    pub(crate) fn total(&self) -> usize {
        self.limits.total
    }

    /// A share of nothing, for one body.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        let moved = Instant::now();
        let entry = Entry {
            holds: BodyMemory::default(),
            moved,
            step: 0,
            waiting: false,
            taken: false,
            holder: None,
        };
        state.shares.insert(id, entry);
        Share { budget: Arc::clone(self), id }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Sets a share, if that fits.
    fn set(&mut self, limits: &BudgetLimits, id: u64, need: BodyMemory) -> Result<(), NoRoom> {
        let Some(entry) = self.shares.get_mut(&id) else { return Err(NoRoom::Taken) };
        if entry.taken {
            return Err(NoRoom::Taken);
        }
        let used = self.used - entry.holds.bytes() + need.bytes();
        let decoders = self.decoders - entry.holds.decoder + need.decoder;
        let too_much = used > self.used && used > limits.total;
        if too_much || decoders > self.decoders && decoders > limits.decoders_with(need.decoder) {
            return Err(NoRoom::Short);
        }
        (entry.holds, self.used, self.decoders) = (need, used, decoders);
        Ok(())
    }

    /// Whose share comes back: not moved for the patience, and the most bytes for the longest time.
    fn worst(
        &self,
        limits: &BudgetLimits,
        for_id: u64,
        need: BodyMemory,
        passed_over: &[u64],
    ) -> Option<(u64, Arc<dyn Holder>)> {
        let now = Instant::now();
        let newcomer = self.shares.get(&for_id)?;
        let others = self.decoders - newcomer.holds.decoder;
        let decoders_only = others + need.decoder > limits.decoders_with(need.decoder);
        let idle = self.shares.iter().filter(|(id, entry)| {
            **id != for_id
                && entry.holds.bytes() > 0
                && !entry.waiting
                && (entry.holds.decoder > 0 || !decoders_only)
                && now.duration_since(entry.moved) >= limits.patience
                && !passed_over.contains(id)
        });
        let mut by_weight: Vec<_> = idle
            .map(|(id, e)| (e.holds.bytes() as u128 * now.duration_since(e.moved).as_millis(), *id))
            .collect();
        by_weight.sort_unstable();
        by_weight.into_iter().rev().find_map(|(_, id)| {
            let holder = self.shares.get(&id)?.holder.as_ref()?.upgrade()?;
            Some((id, holder))
        })
    }

    fn take(&mut self, id: u64) {
        if let Some(entry) = self.shares.get_mut(&id) {
            self.used -= entry.holds.bytes();
            self.decoders -= entry.holds.decoder;
            (entry.holds, entry.taken, entry.holder) = (BodyMemory::default(), true, None);
        }
    }
}

/// What one body holds; given back when it is dropped.
pub(crate) struct Share {
    budget: Arc<Budget>,
    id: u64,
}

impl Share {
    /// Who is asked to let go of the share. Without one it is never taken back.
    pub(crate) fn held_by(&self, holder: Weak<dyn Holder>) {
        if let Some(entry) = self.budget.state().shares.get_mut(&self.id) {
            entry.holder = Some(holder);
        }
    }

    /// Holds so much from now on. Takes back what others hold without using it, but does not wait.
    pub(crate) fn set(&self, need: BodyMemory) -> Result<(), NoRoom> {
        let mut passed_over = Vec::new();
        loop {
            let mut state = self.budget.state();
            let before = state.used;
            match state.set(&self.budget.limits, self.id, need) {
                Err(NoRoom::Short) => {}
                outcome => {
                    let freed = state.used < before;
                    drop(state);
                    if freed {
                        self.budget.freed.notify_waiters();
                    }
                    return outcome;
                }
            }
            let Some((id, holder)) = state.worst(&self.budget.limits, self.id, need, &passed_over) else {
                return Err(NoRoom::Short);
            };
            // The holder is asked without the lock: what it drops may be shares of this budget.
            drop(state);
            if holder.release() {
                self.budget.state().take(id);
            } else {
                passed_over.push(id);
            }
        }
    }

    /// As `set`, but waits for room.
    pub(crate) async fn obtain(&self, need: BodyMemory) -> Result<(), NoRoom> {
        let until = Instant::now() + self.budget.limits.wait;
        loop {
            let freed = self.budget.freed.notified();
            match self.set(need) {
                Err(NoRoom::Short) if Instant::now() < until => {}
                outcome => return outcome,
            }
            self.waiting(true);
            let waiting = Waiting(self);
            let _ = timeout(TICK, freed).await;
            drop(waiting);
        }
    }

    /// The body came further by so many bytes.
    pub(crate) fn moved(&self, bytes: usize) {
        if let Some(entry) = self.budget.state().shares.get_mut(&self.id) {
            entry.step += bytes;
            if entry.step >= STEP {
                (entry.step, entry.moved) = (0, Instant::now());
            }
        }
    }

    /// Whether the body waits for something, so that it can't move. What waited has the patience from its end on.
    pub(crate) fn waiting(&self, waiting: bool) {
        if let Some(entry) = self.budget.state().shares.get_mut(&self.id) {
            (entry.waiting, entry.step, entry.moved) = (waiting, 0, Instant::now());
        }
    }
}

/// Who waits is not the one that does not move.
struct Waiting<'a>(&'a Share);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting(false);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        state.take(self.id);
        state.shares.remove(&self.id);
        drop(state);
        self.budget.freed.notify_waiters();
    }
}

/// What holds a share's memory and is dropped when the share is taken back, also when nobody asks for the body any more.
pub(crate) struct Revocable<T> {
    held: Mutex<Option<T>>,
    waker: AtomicWaker,
}

impl<T: Send + 'static> Revocable<T> {
    pub(crate) fn new(held: T, share: &Share) -> Arc<Self> {
        let this = Arc::new(Self { held: Mutex::new(Some(held)), waker: AtomicWaker::new() });
        let holder: Weak<Self> = Arc::downgrade(&this);
        share.held_by(holder);
        this
    }

    fn held(&self) -> MutexGuard<'_, Option<T>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses what is held, or fails with [`NoRoom::Taken`].
    pub(crate) fn with<R, E: From<NoRoom>>(
        &self,
        use_it: impl FnOnce(&mut T) -> Result<R, E>,
    ) -> Result<R, E> {
        self.held().as_mut().map_or(Err(NoRoom::Taken.into()), use_it)
    }

    /// Looks at what is held, if it is.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.held().as_ref().map(look)
    }

    /// Who is woken when it is gone.
    pub(crate) fn wakes(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }

    /// Until it is gone.
    pub(crate) async fn taken(&self) {
        poll_fn(|cx| {
            self.wakes(cx);
            if self.held().is_none() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl<T: Send> Holder for Revocable<T> {
    fn release(&self) -> bool {
        let Ok(mut held) = self.held.try_lock() else { return false };
        *held = None;
        drop(held);
        self.waker.wake();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const LIMITS: BudgetLimits = BudgetLimits {
        total: 100,
        decoders: 60,
        large_decoders: 60,
        patience: Duration::from_secs(2),
        wait: Duration::from_secs(5),
    };

    fn need(decoded: bool, bytes: usize) -> BodyMemory {
        if decoded { BodyMemory { text: 0, decoder: bytes } } else { BodyMemory { text: bytes, decoder: 0 } }
    }

    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Holder for Counting {
        fn release(&self) -> bool {
            self.0.fetch_add(1, Ordering::Relaxed);
            true
        }
    }

    fn held(budget: &Arc<Budget>, decoded: bool, bytes: usize) -> (Share, Arc<Counting>) {
        let (share, holder) = (budget.share(), Arc::new(Counting::default()));
        let weak = Arc::downgrade(&holder);
        share.held_by(weak);
        share.set(need(decoded, bytes)).unwrap();
        (share, holder)
    }

    proptest! {
        /// Whatever is asked for, the sum stays within the budget, is what the shares hold, and comes back.
        #[test]
        fn the_sum_never_exceeds_the_budget(steps in prop::collection::vec((0..8usize, any::<bool>(), 0..150usize, any::<bool>()), 1..60)) {
            let budget = Budget::new(BudgetLimits { patience: Duration::ZERO, ..LIMITS });
            let mut shares: Vec<Option<(Share, Arc<Counting>)>> = (0..8).map(|_| None).collect();
            for (at, decoded, bytes, keep) in steps {
                let (share, holder) = shares[at].take().unwrap_or_else(|| held(&budget, decoded, 0));
                let _ = share.set(need(decoded, bytes));
                if keep {
                    shares[at] = Some((share, holder));
                }
                let state = budget.state();
                prop_assert!(state.used <= LIMITS.total && state.decoders <= LIMITS.decoders);
                prop_assert_eq!(state.used, state.shares.values().map(|e| e.holds.bytes()).sum::<usize>());
            }
            drop(shares);
            prop_assert_eq!((budget.used(), budget.state().shares.len()), (0, 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_move_gives_back_and_who_moves_keeps() {
        let budget = Budget::new(LIMITS);
        let (silent, silent_holder) = held(&budget, true, 30);
        let (moving, moving_holder) = held(&budget, true, 30);
        let newcomer = budget.share();
        assert_eq!(newcomer.set(need(true, 20)), Err(NoRoom::Short), "nobody is silent for long enough yet");
        let mover = async {
            loop {
                moving.moved(STEP);
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::select! {
            () = mover => {}
            outcome = newcomer.obtain(need(true, 20)) => assert_eq!(outcome, Ok(())),
        }
        assert_eq!(silent_holder.0.load(Ordering::Relaxed), 1);
        assert_eq!(moving_holder.0.load(Ordering::Relaxed), 0);
        assert_eq!(silent.set(need(true, 1)), Err(NoRoom::Taken), "and it learns of it");
        assert_eq!(budget.used(), 50);
        let newcomer_holder: Arc<Counting> = Arc::default();
        let weak = Arc::downgrade(&newcomer_holder);
        newcomer.held_by(weak);
        assert_eq!(
            budget.share().set(need(true, 30)),
            Err(NoRoom::Short),
            "who waited for it has the patience from then on"
        );
    }

    /// A byte now and then is no movement.
    #[tokio::test(start_paused = true)]
    async fn a_trickle_holds_no_share() {
        let budget = Budget::new(LIMITS);
        let (trickle, holder) = held(&budget, true, 60);
        let newcomer = budget.share();
        let trickling = async {
            loop {
                trickle.moved(1);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            () = trickling => {}
            outcome = newcomer.obtain(need(true, 20)) => assert_eq!(outcome, Ok(())),
        }
        assert_eq!(holder.0.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn while_all_move_a_newcomer_is_told_after_a_while_and_plain_bodies_have_their_part() {
        let budget = Budget::new(LIMITS);
        let (moving, _holder) = held(&budget, true, 60);
        let newcomer = budget.share();
        let mover = async {
            loop {
                moving.moved(STEP);
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        let began = Instant::now();
        tokio::select! {
            () = mover => {}
            outcome = newcomer.obtain(need(true, 1)) => assert_eq!(outcome, Err(NoRoom::Short)),
        }
        assert!(began.elapsed() >= LIMITS.wait && began.elapsed() < LIMITS.wait + Duration::from_secs(1));
        assert_eq!(budget.share().set(need(false, 40)), Ok(()), "at once");
    }

    #[test]
    fn large_decoders_leave_room_to_small_ones() {
        let (large, small) = (need(true, 9 << 20), need(true, 160 << 10));
        let budget = Budget::new(BudgetLimits::default());
        let shares: Vec<_> = (0..14).map(|_| budget.share()).collect();
        assert!(shares.iter().all(|share| share.set(large).is_ok()));
        assert_eq!(budget.share().set(large), Err(NoRoom::Short));
        let more: Vec<_> = (0..200).map(|_| budget.share()).collect();
        assert!(more.iter().all(|share| share.set(small).is_ok()));
    }
}
