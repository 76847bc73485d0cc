// The types by which check.js judges a dashboard. A panel is judged by that of its kind.
import type { Dataquery } from "@grafana/grafana-foundation-sdk/dist/prometheus/types.gen";
import type { Dashboard, Panel, RowPanel } from "@grafana/schema";
import type * as BarGauge from "@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen";
import type * as Stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type * as Timeline from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen";
import type * as Table from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type * as Series from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

// Grafana adds the options that a file leaves out.
type PanelOf<Options, Field> = Omit<Panel<{}, Partial<Field>>, "options" | "targets"> & {
  options: Partial<Options>;
  targets: Omit<Dataquery, "_implementsDataqueryVariant">[];
};

export type dashboard = Omit<Dashboard, "panels">;
export type row = RowPanel;
export type bargauge = PanelOf<BarGauge.Options, {}>;
export type stat = PanelOf<Stat.Options, {}>;
export type statetimeline = PanelOf<Timeline.Options, Timeline.FieldConfig>;
export type table = PanelOf<Table.Options, Table.FieldConfig>;
export type timeseries = PanelOf<Series.Options, Series.FieldConfig>;
