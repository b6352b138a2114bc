-- Entries of an actor or a project are added at the end of theirs: the newest first is the same index read backwards, but
-- each page was split in the middle and stayed half empty.
DROP INDEX audit_event_project;
CREATE INDEX audit_event_project ON audit_event (project_id, id);
DROP INDEX audit_event_actor;
CREATE INDEX audit_event_actor ON audit_event (actor, id);
