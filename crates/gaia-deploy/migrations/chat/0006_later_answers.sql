-- Conversations like letters: when no model has spoken in time, the persona says so and answers later.

ALTER TABLE chat.conversations ADD COLUMN may_answer_later boolean NOT NULL DEFAULT false;
