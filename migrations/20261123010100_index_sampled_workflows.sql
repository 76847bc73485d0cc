-- The few workflows whose attributes are compared, found among all of an SLO.

create index workflows_sampled on workflows (slo_id, judged_at) where (details -> 'attributes') is not null;
