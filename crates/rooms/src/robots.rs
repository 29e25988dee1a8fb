//! Robots: members without a session, placed by an administrator. They are listed and counted like everyone.

use crate::{Delta, Error, Event, LeaveCause, Outcome, Room, SessionId, UserId};

impl Room {
    /// Adds robots; one that is in already is passed over. Places in join order are set aside for the new ones.
    ///
    /// # Errors
    /// [`Error::RoomFull`].
    pub fn add_robots(&mut self, users: &[UserId]) -> Result<Outcome, Error> {
        let mut outcome = Outcome::default();
        let most = self.info().max_member_count as usize;
        let mut members = self.members().len() + self.players_besides_members();
        for user in users {
            if self.is_robot(user)
                || outcome
                    .events
                    .iter()
                    .any(|event| matches!(event, Event::Entered { user: other } if other == user))
            {
                continue;
            }
            if !self.members().contains(user.as_str()) {
                members += 1;
                if most > 0 && members > most {
                    return Err(Error::RoomFull(self.info().max_member_count));
                }
            }
            outcome.events.push(Event::Entered { user: user.clone() });
            // Who is in as a person keeps its place.
            let known = self.members().place(user.as_str());
            let place = known.unwrap_or_else(|| self.members_mut().reserve_place());
            outcome.changes.push(Delta::AddRobot { user: user.clone(), place, departures: self.departures });
        }
        // Who is in as a person is no news.
        outcome.events.retain(
            |event| matches!(event, Event::Entered { user } if !self.members().contains(user.as_str())),
        );
        Ok(outcome)
    }

    /// Takes robots out; a user who is none is passed over.
    pub fn delete_robots(&self, users: &[UserId]) -> Outcome {
        let mut outcome = Outcome::default();
        let mut seats = self.seats.clone();
        for user in users.iter().filter(|user| self.is_robot(user)) {
            let is_gone = self.members().sessions(user.as_str()) == [SessionId::ROBOT];
            let told = self.members().place(user.as_str()).filter(|_| is_gone);
            outcome.changes.push(Delta::DropRobot { user: user.clone(), told });
            if !is_gone {
                continue;
            }
            outcome.events.push(Event::Left { user: user.clone(), cause: LeaveCause::Leave });
            if let Some(index) = seats.vacate(user) {
                outcome.changes.extend(seats.record(index).map(Delta::Set));
            }
        }
        if seats != self.seats {
            outcome.events.push(Event::SeatsChanged { seats: seats.list().to_vec() });
        }
        outcome
    }

    /// Robots after the one named `after`, by name.
    pub fn robots_after<'a>(&'a self, after: &'a str) -> impl Iterator<Item = &'a UserId> {
        self.robots.iter().filter(move |robot| robot.as_str() > after)
    }

    /// Whether `user` is a robot here.
    pub fn is_robot(&self, user: &UserId) -> bool {
        self.robots.contains(user)
    }
}
