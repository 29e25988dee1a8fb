//! What an app knows, as a machine: its own record, its accounts, its catalogue of gifts, and the names of its rooms. Nothing of it is
//! seen before it is on disk, and what is on disk is seen whoever still waits for it.
//!
//! What is wanted is planned as in a hall: what touches the same account, the same name, the catalogue or the record waits for what is
//! on its way; all else shares the next commit, so that ten thousand users who come for the first time do not stand in line.
//!
//! An account that is deleted is deleted in one commit, which also says that it is over (an intent, delivered until
//! [`Effect::Consumed`]): its robots, players and sessions are elsewhere. Whoever places a robot looks afterwards whether its account is
//! there still.
//!
//! `R` is the app's record, of which the machine knows nothing but whom it names; `T` whoever is to be answered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use rooms::{
    Account, Catalogue, CatalogueChange, CatalogueCommand, Error, Incarnation, Profile, ProfileChange,
    RoomId, RoomInfo, Time, UserId,
};

use crate::command::{Refusal, Refused};
use crate::plans::{Bounds, PlanId, Plans, Touch, Touches};

/// Thousands may come for the first time at once.
const BOUNDS: Bounds = Bounds { on_the_way: 256, waiting: 16_384 };

/// After so long what is wanted is answered: on its way to the disk, that nobody knows; before, that too much waits.
const ANSWERED_AFTER: Duration = Duration::from_secs(10);

/// What is wanted.
#[derive(Debug)]
pub enum Command<R> {
    /// The app's record is another. Whom it names as administrators has an account.
    Record {
        /// The record.
        record: Arc<R>,
        /// Whom it names.
        admins: Vec<UserId>,
    },
    /// Accounts are imported where they are not there, and their profiles changed: of all or of none.
    Import(Vec<(UserId, ProfileChange)>),
    /// An account is deleted.
    Delete(UserId),
    /// The catalogue of gifts changes.
    Gifts(CatalogueCommand),
    /// A room is made.
    Make {
        /// Its record.
        info: Box<RoomInfo>,
        /// The number by which the store knows it.
        number: i64,
    },
}

/// Something that happens.
#[derive(Debug)]
pub enum Input<R, T> {
    /// Something is wanted.
    Do {
        /// By whom, as others are told.
        operator: String,
        /// What.
        command: Command<R>,
        /// Whom to answer.
        ticket: T,
    },
    /// A room is over, and its name free.
    Free(Incarnation),
    /// All that was of an account that is over is over too.
    Left(UserId),
    /// The disk has answered to [`Effect::Store`].
    Stored {
        /// Which.
        id: PlanId,
        /// Whether it took it; nothing was written when it did not.
        result: Result<(), Refused>,
    },
    /// Time has passed: [`Tenant::deadline`].
    Time,
}

/// Something that is written down, or struck out.
#[derive(Debug)]
pub enum Write<R> {
    /// The app's record, and whom it names.
    Record(Arc<R>, Vec<UserId>),
    /// An account as it is now.
    Account(Arc<Account>),
    /// An account that is no more; it has still to be said so elsewhere.
    Delete(UserId),
    /// A part of the catalogue.
    Gifts(CatalogueChange),
    /// A room begins.
    Make(Box<RoomInfo>, i64),
}

impl<R> Clone for Write<R> {
    fn clone(&self) -> Self {
        match self {
            Write::Record(record, admins) => Write::Record(record.clone(), admins.clone()),
            Write::Account(account) => Write::Account(account.clone()),
            Write::Delete(user) => Write::Delete(user.clone()),
            Write::Gifts(change) => Write::Gifts(change.clone()),
            Write::Make(info, number) => Write::Make(info.clone(), *number),
        }
    }
}

/// Something to be performed.
#[derive(Debug)]
pub enum Effect<R, T> {
    /// To be written: now or not at all. [`Input::Stored`] says which.
    Store {
        /// Which.
        id: PlanId,
        /// What.
        writes: Vec<Write<R>>,
        /// By whom.
        operator: String,
    },
    /// The app has another record.
    Record(Arc<R>),
    /// A room is there.
    Made(Box<RoomInfo>, i64),
    /// A room is not made.
    Unmade(i64),
    /// An account is no more: neither are its robots, players and sessions, and then [`Input::Left`].
    Over(UserId),
    /// Nobody has to say again that an account is over.
    Consumed(UserId),
    /// Who asked is answered.
    Answer {
        /// Who.
        ticket: T,
        /// Done, or not.
        result: Result<(), Refusal>,
    },
}

/// What waits until it may be planned.
struct Wanted<R, T> {
    operator: String,
    command: Command<R>,
    ticket: T,
    since: Time,
}

/// A plan on its way to the disk.
struct Made<R, T> {
    writes: Vec<Write<R>>,
    ticket: Option<T>,
    since: Time,
    result: Option<Result<(), Refused>>,
}

/// An account that is deleted, and not out of everything yet. Until then there is no other of its name.
struct Leaving<T> {
    id: PlanId,
    user: UserId,
    ticket: Option<T>,
    since: Time,
}

/// What an app knows.
pub struct Tenant<R, T> {
    accounts: HashMap<UserId, Arc<Account>, foldhash::fast::RandomState>,
    catalogue: Catalogue,
    /// Of whom the record says that they administer the app.
    admins: Vec<UserId>,
    /// Of the rooms that are there.
    names: HashMap<RoomId, i64, foldhash::fast::RandomState>,
    plans: Plans,
    wanted: HashMap<PlanId, Wanted<R, T>, foldhash::fast::RandomState>,
    made: HashMap<PlanId, Made<R, T>, foldhash::fast::RandomState>,
    leaving: Vec<Leaving<T>>,
    /// The latest time there was.
    now: Time,
    effects: VecDeque<Effect<R, T>>,
}

impl<R, T> Default for Tenant<R, T> {
    fn default() -> Self {
        Self {
            accounts: HashMap::default(),
            catalogue: Catalogue::default(),
            admins: Vec::new(),
            names: HashMap::default(),
            plans: Plans::with(BOUNDS),
            wanted: HashMap::default(),
            made: HashMap::default(),
            leaving: Vec::new(),
            now: Time::from_unix_millis(0),
            effects: VecDeque::new(),
        }
    }
}

impl<R, T> Tenant<R, T> {
    // Opening

    /// Who administers the app.
    pub fn restore_admins(&mut self, admins: Vec<UserId>) {
        self.admins = admins;
    }

    /// Puts an account back that was kept before a restart.
    pub fn restore_account(&mut self, account: Account) {
        self.accounts.insert(account.user.clone(), Arc::new(account));
    }

    /// Puts a part of the catalogue back.
    pub fn restore_gifts(&mut self, change: CatalogueChange) {
        self.catalogue.apply(change);
    }

    /// A room is there.
    pub fn restore_name(&mut self, room: Incarnation) {
        self.names.insert(room.room, room.number);
    }

    // Looking

    /// An account.
    pub fn account(&self, user: &str) -> Option<&Arc<Account>> {
        self.accounts.get(user)
    }

    /// All accounts, in no order.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values()
    }

    /// The catalogue of gifts.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    // Driving

    /// What is to be performed next.
    pub fn poll(&mut self) -> Option<Effect<R, T>> {
        self.effects.pop_front()
    }

    /// When [`Input::Time`] is due.
    pub fn deadline(&self) -> Option<Time> {
        let made = self.made.values().filter(|made| made.ticket.is_some() && made.result.is_none());
        let leaving = self.leaving.iter().filter(|leaving| leaving.ticket.is_some());
        let since = made.map(|made| made.since).chain(leaving.map(|leaving| leaving.since));
        let since = since.chain(self.wanted.values().map(|wanted| wanted.since)).min();
        since.map(|since| since + ANSWERED_AFTER)
    }

    /// Something happens, at `now`. What follows from it is [polled](Self::poll) for.
    pub fn handle(&mut self, input: Input<R, T>, now: Time) {
        self.now = self.now.max(now);
        match input {
            Input::Do { operator, command, ticket } => match self.plans.want(touches(&command)) {
                Ok(id) => {
                    let wanted = Wanted { operator, command, ticket, since: self.now };
                    self.wanted.insert(id, wanted);
                }
                Err(_) => {
                    self.unmake(&command);
                    self.answer(ticket, Err(Refusal::Busy));
                }
            },
            Input::Free(Incarnation { room, number }) => {
                self.names.retain(|name, of| *name != room || *of != number);
            }
            Input::Left(user) => self.left(&user),
            Input::Stored { id, result } => self.stored(id, result),
            Input::Time => self.pass(),
        }
        self.plan_what_may();
    }

    fn answer(&mut self, ticket: T, result: Result<(), Refusal>) {
        self.effects.push_back(Effect::Answer { ticket, result });
    }

    // Planning

    fn plan_what_may(&mut self) {
        loop {
            let wanted = &self.wanted;
            let touches = |id| wanted.get(&id).map_or_else(Touches::none, |wanted| touches(&wanted.command));
            let Some(id) = self.plans.begin(touches) else { return };
            let Some(Wanted { operator, command, ticket, .. }) = self.wanted.remove(&id) else {
                debug_assert!(false, "{id:?} waits and nobody wants it");
                self.plans.end(id);
                continue;
            };
            match self.plan(&command) {
                Ok(writes) if writes.is_empty() => {
                    self.plans.end(id);
                    self.answer(ticket, Ok(()));
                }
                Ok(writes) => {
                    let (since, ticket, result) = (self.now, Some(ticket), None);
                    self.effects.push_back(Effect::Store { id, writes: writes.clone(), operator });
                    self.made.insert(id, Made { writes, ticket, since, result });
                }
                Err(error) => {
                    self.plans.end(id);
                    self.unmake(&command);
                    self.answer(ticket, Err(error.into()));
                }
            }
        }
    }

    /// What is going to change, by the rules.
    fn plan(&self, command: &Command<R>) -> Result<Vec<Write<R>>, Error> {
        let new =
            |user: &UserId| Account { user: user.clone(), profile: Profile::default(), created_at: self.now };
        match command {
            Command::Record { record, admins } => {
                let unknown = admins.iter().filter(|user| !self.accounts.contains_key(*user));
                let accounts: Vec<_> = unknown.map(|user| Write::Account(Arc::new(new(user)))).collect();
                Ok(std::iter::once(Write::Record(record.clone(), admins.clone())).chain(accounts).collect())
            }
            Command::Import(changes) => {
                let mut accounts: Vec<Account> = Vec::with_capacity(changes.len());
                for (user, change) in changes {
                    // One may be named twice.
                    let known = accounts.iter().rev().find(|account| account.user == *user).cloned();
                    let known = known.or_else(|| self.accounts.get(user).map(|known| (**known).clone()));
                    if known.is_some() && change.is_empty() {
                        continue;
                    }
                    let mut account = known.unwrap_or_else(|| new(user));
                    change.clone().make(&mut account.profile);
                    account.profile.check()?;
                    accounts.push(account);
                }
                Ok(accounts.into_iter().map(|account| Write::Account(Arc::new(account))).collect())
            }
            Command::Delete(user) if self.admins.contains(user) => {
                Err(Error::NotAllowed("an administrator of the app cannot be deleted"))
            }
            Command::Delete(user) => {
                let is_there = self.accounts.contains_key(user);
                Ok(is_there.then(|| Write::Delete(user.clone())).into_iter().collect())
            }
            Command::Gifts(command) => {
                Ok(self.catalogue.plan(command.clone())?.into_iter().map(Write::Gifts).collect())
            }
            Command::Make { info, number } => match self.names.contains_key(&info.room_id) {
                true => Err(Error::RoomExists(info.room_id.to_string())),
                false => Ok(vec![Write::Make(info.clone(), *number)]),
            },
        }
    }

    // What follows

    fn stored(&mut self, id: PlanId, result: Result<(), Refused>) {
        match self.made.get_mut(&id) {
            Some(made) => made.result = Some(result),
            None => debug_assert!(false, "{id:?} was not on its way"),
        }
        // In the order in which they were planned, which is the disk's.
        while let Some(id) = self.plans.first()
            && self.made.get(&id).is_some_and(|made| made.result.is_some())
            && let Some(Made { writes, mut ticket, result, .. }) = self.made.remove(&id)
        {
            let result = result.unwrap_or(Ok(()));
            let mut leaves = None;
            if result.is_ok() {
                writes.into_iter().for_each(|write| leaves = self.apply(write).or(leaves.take()));
            } else if let [Write::Make(_, number)] = writes.as_slice() {
                self.effects.push_back(Effect::Unmade(*number));
            }
            if let Some(user) = leaves {
                self.plans.set_aside(id);
                self.leaving.push(Leaving { id, user, ticket: ticket.take(), since: self.now });
                continue;
            }
            self.plans.end(id);
            if let Some(ticket) = ticket {
                self.answer(ticket, result.map_err(Refusal::Store));
            }
        }
    }

    /// Takes over what is on disk. Returns who is no more, and has to leave everything.
    fn apply(&mut self, write: Write<R>) -> Option<UserId> {
        match write {
            Write::Record(record, admins) => {
                self.admins = admins;
                self.effects.push_back(Effect::Record(record));
            }
            Write::Account(account) => drop(self.accounts.insert(account.user.clone(), account)),
            Write::Delete(user) => {
                self.accounts.remove(&user);
                self.effects.push_back(Effect::Over(user.clone()));
                return Some(user);
            }
            Write::Gifts(change) => self.catalogue.apply(change),
            Write::Make(info, number) => {
                self.names.insert(info.room_id.clone(), number);
                self.effects.push_back(Effect::Made(info, number));
            }
        }
        None
    }

    /// An account is out of everything.
    fn left(&mut self, user: &UserId) {
        let leaving = std::mem::take(&mut self.leaving);
        let (left, leaving) = leaving.into_iter().partition::<Vec<_>, _>(|leaving| leaving.user == *user);
        self.leaving = leaving;
        self.effects.push_back(Effect::Consumed(user.clone()));
        for Leaving { id, ticket, .. } in left {
            self.plans.end(id);
            if let Some(ticket) = ticket {
                self.answer(ticket, Ok(()));
            }
        }
    }

    /// Lets time act.
    fn pass(&mut self) {
        let now = self.now;
        let is_overdue = |since: Time| since + ANSWERED_AFTER <= now;
        let made = self.made.values_mut().filter(|made| made.result.is_none() && is_overdue(made.since));
        let mut unknown: Vec<T> = made.filter_map(|made| made.ticket.take()).collect();
        let leaving = self.leaving.iter_mut().filter(|leaving| is_overdue(leaving.since));
        unknown.extend(leaving.filter_map(|leaving| leaving.ticket.take()));
        unknown.into_iter().for_each(|ticket| self.answer(ticket, Err(Refusal::Unknown)));
        let late = self.wanted.iter().filter(|(_, wanted)| is_overdue(wanted.since)).map(|(id, _)| *id);
        for id in late.collect::<Vec<_>>() {
            self.plans.end(id);
            if let Some(Wanted { ticket, command, .. }) = self.wanted.remove(&id) {
                self.unmake(&command);
                self.answer(ticket, Err(Refusal::Busy));
            }
        }
    }

    /// Nothing comes of a command.
    fn unmake(&mut self, command: &Command<R>) {
        if let Command::Make { number, .. } = command {
            self.effects.push_back(Effect::Unmade(*number));
        }
    }
}

/// What a plan reads and writes.
fn touches<R>(command: &Command<R>) -> Touches {
    match command {
        Command::Record { admins, .. } => Touches::none().writes(Touch::Record).writes_users(admins),
        Command::Import(changes) => Touches::none().writes_users(changes.iter().map(|(user, _)| user)),
        Command::Delete(user) => Touches::none().reads(Touch::Record).writes_users([user]),
        Command::Gifts(_) => Touches::none().writes(Touch::Catalogue),
        Command::Make { info, .. } => Touches::none().writes(Touch::Name(info.room_id.clone())),
    }
}
