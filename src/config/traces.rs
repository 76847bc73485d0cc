//! How the process exports its own traces, by the standard variables of OpenTelemetry.

/// The protocol with which the process exports its own spans, by the standard variables of
/// OpenTelemetry; the SDK reads the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceProtocol {
    Grpc,
    HttpProtobuf,
}

/// For the help of commands that trace themselves.
pub const TRACE_VARIABLES: &str = "Traces of the service itself are exported by OTLP once \
    OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set. The other standard \
    variables hold too: OTEL_EXPORTER_OTLP_PROTOCOL (http/protobuf, or grpc), _HEADERS, _TIMEOUT, \
    _COMPRESSION (gzip), each also with TRACES_; OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, \
    OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG, OTEL_TRACES_EXPORTER=none, OTEL_SDK_DISABLED=true.";

/// A variable of OpenTelemetry with an unsupported value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is `{value}`, which is not supported: set it to {supported}")]
pub struct UnsupportedVariable {
    name: &'static str,
    value: String,
    supported: &'static str,
}

impl TraceProtocol {
    /// Returns `None` if the environment configures no traces.
    pub fn read() -> Result<Option<Self>, UnsupportedVariable> {
        Self::from_variables(|name| std::env::var_os(name)?.into_string().ok())
    }

    /// Treats an empty variable like a missing one, as the specification requires.
    fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, UnsupportedVariable> {
        let set = |name: &'static str| {
            let value = variable(name)?.trim().to_owned();
            (!value.is_empty()).then_some((name, value))
        };
        let is_disabled =
            set("OTEL_SDK_DISABLED").is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"));
        let endpoint = set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
            .or_else(|| set("OTEL_EXPORTER_OTLP_ENDPOINT"));
        if is_disabled || endpoint.is_none() {
            return Ok(None);
        }
        let unsupported = |(name, value), supported| UnsupportedVariable {
            name,
            value,
            supported,
        };
        match set("OTEL_TRACES_EXPORTER") {
            Some((_, exporter)) if exporter == "none" => return Ok(None),
            Some(exporter) if exporter.1 != "otlp" => {
                return Err(unsupported(exporter, "`otlp` or `none`"));
            }
            Some(_) | None => {}
        }
        let protocol = set("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
            .or_else(|| set("OTEL_EXPORTER_OTLP_PROTOCOL"));
        match protocol {
            None => Ok(Some(Self::HttpProtobuf)),
            Some((_, protocol)) if protocol == "http/protobuf" => Ok(Some(Self::HttpProtobuf)),
            Some((_, protocol)) if protocol == "grpc" => Ok(Some(Self::Grpc)),
            Some(other) => Err(unsupported(other, "`http/protobuf` or `grpc`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocol(set: &[(&str, &str)]) -> Result<Option<TraceProtocol>, String> {
        let variable = |name: &str| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        TraceProtocol::from_variables(variable).map_err(|error| error.to_string())
    }

    #[test]
    fn traces_are_off_until_an_endpoint_is_set_and_whenever_they_are_turned_off() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint.1);
        let http = Ok(Some(TraceProtocol::HttpProtobuf));
        assert_eq!(protocol(&[endpoint]), http);
        assert_eq!(protocol(&[traces]), http);
        for off in [
            &[] as &[_],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
            &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
            &[endpoint, ("OTEL_SDK_DISABLED", "TRUE")],
            &[endpoint, ("OTEL_TRACES_EXPORTER", "none")],
        ] {
            assert_eq!(protocol(off), Ok(None), "{off:?}");
        }
    }

    #[test]
    fn the_protocol_of_traces_goes_before_that_of_all_signals() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
        let all = |value| ("OTEL_EXPORTER_OTLP_PROTOCOL", value);
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf");
        let grpc = Ok(Some(TraceProtocol::Grpc));
        assert_eq!(protocol(&[endpoint, all("grpc")]), grpc);
        let http = Ok(Some(TraceProtocol::HttpProtobuf));
        assert_eq!(protocol(&[endpoint, all("grpc"), traces]), http);
        assert_eq!(
            protocol(&[endpoint, all("http/json")]).unwrap_err(),
            "`OTEL_EXPORTER_OTLP_PROTOCOL` is `http/json`, which is not supported: \
             set it to `http/protobuf` or `grpc`"
        );
        let jaeger = ("OTEL_TRACES_EXPORTER", "jaeger");
        assert!(
            protocol(&[endpoint, jaeger])
                .unwrap_err()
                .contains("jaeger")
        );
    }
}
