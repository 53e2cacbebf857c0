//! What an event of a plan does to processes, files and links of this machine.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use hub::service::fleet::NodeRequest;

use super::LiveError;
use super::member::Member;
use super::world::{Fault, Todo, World};
use crate::plan::{Action, Event, Name};
use crate::proxy::LinkState;
use crate::stack::world::{id, shape};
use crate::trace::{Ended, Happening, Work};
use crate::workload::files::Edit;

impl World<'_> {
    /// Carries out an event, counts it and tells of it.
    pub(super) async fn carry_out(&mut self, number: usize, event: &Event) -> Result<(), LiveError> {
        if !self.act(number, event).await? {
            return Ok(());
        }
        self.reach(&event.action);
        let (member, what) = ((&*event.on).into(), event.action.name());
        if event.action == Action::Join {
            // Told when it has joined, which may be later.
            return Ok(());
        }
        if event.action.is_work() {
            let mut word = what.to_owned();
            if let Action::Edit { layer: about, .. } | Action::Revoke { node: about } = &event.action {
                word = format!("{what} {about}");
            }
            self.tell(Happening::Work { member, work: Work::Other { word: word.into() } });
        } else {
            // Only stores could say whether it hit a state in which it matters.
            self.tell(Happening::Fault { member, kind: what.into(), mattered: true });
        }
        Ok(())
    }

    /// Whether it took effect. What lasts ends by the plan's time, so that the order of things is the plan's on a busy machine too.
    async fn act(&mut self, number: usize, event: &Event) -> Result<bool, LiveError> {
        let name = &event.on;
        Ok(match &event.action {
            Action::Join => {
                if !self.join(name).await? {
                    self.put_again(Todo::Join(name.clone()));
                }
                true
            }
            // A killed process leaves its writes with the system, so a loss of power comes to the same here.
            Action::Crash { down } | Action::PowerLoss { down, .. } => {
                let killed = self.kill(name).await?;
                if killed {
                    self.put(event.at + *down, Todo::Start(name.clone()));
                }
                killed
            }
            Action::Pause { lasts } => {
                let Some(member) = self.members.get_mut(name) else { return Ok(false) };
                let paused = member.pause().await?;
                if paused {
                    self.put(event.at + *lasts, Todo::End(name.clone(), Fault::Pause));
                }
                paused
            }
            Action::Restart => {
                let stopped = self.stop(name).await?;
                if stopped {
                    self.start(name).await;
                }
                stopped
            }
            Action::RestoreBackup { .. } => self.restore(name, number).await?,
            Action::CloneDisk { lasts } => self.clone_disk(name, number, event.at + *lasts).await?,
            Action::AddressChange => {
                self.move_away(name);
                true
            }
            Action::NatRebind => {
                self.cables.iter().filter(|cable| cable.from == *name).for_each(|cable| cable.state.rebind());
                true
            }
            Action::Edit { layer, objects, add, remove, release } => {
                self.files.edit(layer, Edit { change: *objects, add: *add, remove: *remove }, event.draw);
                let done = self.apply_layer(name, layer, *release).await;
                if done && *release {
                    self.files.note_release(Some(layer));
                }
                done
            }
            Action::Release { back: 0 } => self.release_all(name).await,
            Action::Release { back } => self.go_back(name, *back).await,
            Action::TargetEdit { objects } => self.edit_target(name, *objects, event.draw),
            Action::Revoke { node } => {
                let request = NodeRequest { name: id(node) };
                let done = self.ask(name, async |hub| hub.revoke_node(&request).await).await.is_some();
                self.revoked.extend(done.then(|| node.clone()));
                done
            }
            // Counted as left out, and not planned.
            Action::DiskFull { .. }
            | Action::BitRot { .. }
            | Action::LyingFsync { .. }
            | Action::IoErrors { .. }
            | Action::WipeStore
            | Action::Clock1970
            | Action::ClockJump { .. }
            | Action::ClockDrift { .. }
            | Action::Hostile { .. }
            | Action::Status { .. } => false,
        })
    }

    async fn release_all(&mut self, hub: &Name) -> bool {
        let done = self.release(hub).await;
        if done {
            self.files.note_release(None);
        }
        done
    }

    /// Somebody takes the files of an older release and releases them.
    async fn go_back(&mut self, hub: &Name, back: u32) -> bool {
        if !self.members.get(hub).is_some_and(Member::answers) {
            return false;
        }
        let Some(changed) = self.files.go_back(back) else { return false };
        for layer in changed {
            if !self.apply_layer(hub, &layer, false).await {
                return false;
            }
        }
        self.release_all(hub).await
    }

    /// The end of what lasted.
    pub(super) async fn end(&mut self, name: &Name, fault: Fault) -> Result<(), LiveError> {
        match fault {
            Fault::Pause => {
                let Some(member) = self.members.get_mut(name).filter(|member| member.is_paused) else { return Ok(()) };
                member.resume().await?;
            }
            Fault::Twin => {
                let Some(mut twin) = self.twins.remove(name) else { return Ok(()) };
                let said = twin.kill().await?;
                self.judge_words(name, said);
            }
        }
        let (member, kind) = ((&**name).into(), fault.name().into());
        self.tell(Happening::FaultEnded { member, kind, mattered: true });
        Ok(())
    }

    /// A process that panicked has met input that it should not break by.
    pub(super) fn judge_words(&mut self, name: &Name, said: Option<String>) {
        if let Some(message) = said {
            self.tell(Happening::Panicked { member: (&**name).into(), message: message.clone() });
            self.break_(8, format!("{name} panicked: {message}"));
        }
    }

    async fn kill(&mut self, name: &Name) -> Result<bool, LiveError> {
        let Some(member) = self.members.get_mut(name).filter(|member| member.is_up()) else { return Ok(false) };
        let said = member.kill().await?;
        self.tell(Happening::Stopped { member: (&**name).into(), how: Ended::Killed });
        self.judge_words(name, said);
        Ok(true)
    }

    /// Stops a process in order; whether it ran. One that stands still cannot be asked.
    pub(super) async fn stop(&mut self, name: &Name) -> Result<bool, LiveError> {
        let Some(member) = self.members.get_mut(name).filter(|member| member.answers()) else { return Ok(false) };
        let said = member.stop().await?;
        self.tell(Happening::Stopped { member: (&**name).into(), how: Ended::InOrder });
        self.judge_words(name, said);
        Ok(true)
    }

    /// Makes a copy of a member's files, for the event of this number.
    pub(super) async fn back_up(&mut self, name: &Name, event: usize) -> Result<(), LiveError> {
        let folder = self.work.join("backups").join(event.to_string());
        if let Some(member) = self.members.get_mut(name) {
            member.copy_to(&folder).await?;
            self.backups.insert(event, folder);
        }
        Ok(())
    }

    async fn restore(&mut self, name: &Name, event: usize) -> Result<bool, LiveError> {
        let Some(folder) = self.backups.remove(&event) else { return Ok(false) };
        if !self.stop(name).await? {
            return Ok(false);
        }
        if let Some(member) = self.members.get(name) {
            member.set_files(&folder)?;
        }
        self.start(name).await;
        Ok(true)
    }

    /// A second process on a copy of a node's files, over links of its own that are never cut.
    async fn clone_disk(&mut self, name: &Name, event: usize, until: Duration) -> Result<bool, LiveError> {
        let data = self.work.join(format!("{name}-twin-{event}"));
        let Some(member) = self.members.get_mut(name).filter(|member| member.is_up()) else { return Ok(false) };
        member.copy_to(&data).await?;
        let twin_name = Name::from(&*format!("{name} twin"));
        let now = self.now();
        for (number, link) in self.plan.links.iter().enumerate().filter(|(_, link)| link.from == *name) {
            let state = Arc::new(LinkState::new(u64::from(u32::try_from(event + number).unwrap_or(0))));
            if let Some(change) = link.changes.iter().rev().find(|change| change.at <= now) {
                state.set_shape(shape(self.plan.profile(change)));
            }
            self.lanes.add(&twin_name, &link.to, &state);
        }
        let target = self.work.join("targets").join(format!("{name}-twin-{event}"));
        let mut spec = self.edge_spec(name, &data, &target);
        spec.log.set_file_name(format!("{name}-twin.log"));
        let mut twin = Member::new(twin_name, false, data, target, spec, self.owners.clone());
        twin.start().await?;
        if let Some(mut old) = self.twins.insert(name.clone(), twin) {
            let said = old.kill().await?;
            self.judge_words(name, said);
        }
        self.put(until, Todo::End(name.clone(), Fault::Twin));
        Ok(true)
    }

    /// Somebody edits files of a node's target by hand: one of four is removed, the others change.
    fn edit_target(&mut self, name: &Name, objects: u32, draw: u32) -> bool {
        let Some(member) = self.members.get(name).filter(|member| member.is_up()) else { return false };
        let Ok(files) = super::target::read(&member.target) else { return false };
        let mut edited = 0;
        for number in 0..objects {
            let draw = u64::from(draw) + u64::from(number);
            let place = draw.checked_rem(files.len() as u64).and_then(|place| usize::try_from(place).ok());
            let Some((path, content)) = place.and_then(|place| files.iter().nth(place)) else { continue };
            let path = member.target.join(path);
            let done = if (draw / files.len() as u64).is_multiple_of(4) {
                fs::remove_file(path)
            } else {
                fs::write(path, [content.as_slice(), b"edited by hand\n"].concat())
            };
            edited += u32::from(done.is_ok());
        }
        edited > 0
    }
}
