-- That deliveries had to be repaired, for the self-check: none ever should be.

alter table heartbeats add column repaired_at timestamptz;
comment on column heartbeats.repaired_at is 'When deliveries of alerts were last found missing and written after all; null if never.';
