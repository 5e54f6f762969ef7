# Four small images from one file: edge, aggregator, api, tools (keys and replay).
# Only the edge image holds torch, built for CPUs. Versions are those of constraints.txt.
#   docker build --target edge .

FROM python:3.11-slim-bookworm AS base
# A volume takes owner and mode from the directory of the image that it is first mounted on.
RUN groupadd --gid 10001 streamgauge \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin streamgauge \
    && install -d -o streamgauge -g streamgauge -m 0700 \
       /var/lib/streamgauge /keys/own /keys/trusted /keys/aggregator /keys/site-a /keys/site-b /keys/site-c
ENV PATH=/opt/streamgauge/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /var/lib/streamgauge
ENTRYPOINT ["streamgauge"]
STOPSIGNAL SIGTERM

FROM base AS venv
WORKDIR /src
RUN python -m venv /opt/streamgauge
COPY constraints.txt ./

FROM venv AS sources
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY schemas schemas
COPY streamgauge streamgauge
COPY services services

FROM venv AS build-edge
# PyTorch's own index has the build without CUDA libraries; its dependencies come from PyPI in the next step.
RUN pip install --no-cache-dir --no-deps -c constraints.txt \
    --index-url https://download.pytorch.org/whl/cpu torch
COPY --from=sources /src ./
RUN pip install --no-cache-dir -c constraints.txt ".[edge]"

FROM sources AS build-aggregator
RUN pip install --no-cache-dir -c constraints.txt ".[aggregator,postgres]"

FROM sources AS build-api
RUN pip install --no-cache-dir -c constraints.txt ".[api,postgres]"

FROM sources AS build-tools
RUN pip install --no-cache-dir -c constraints.txt ".[data,librdkafka]"

FROM base AS edge
COPY --from=build-edge /opt/streamgauge /opt/streamgauge
ENV STREAMGAUGE_EDGE_STATE_DIR=/var/lib/streamgauge \
    STREAMGAUGE_EDGE_METRICS_HOST=0.0.0.0 \
    STREAMGAUGE_EDGE_METRICS_PORT=9100 \
    STREAMGAUGE_EDGE_LOG_FORMAT=json
USER 10001:10001
EXPOSE 9100
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD \
    ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9100/healthz', timeout=3)"]
CMD ["edge-node"]

FROM base AS aggregator
COPY --from=build-aggregator /opt/streamgauge /opt/streamgauge
ENV STREAMGAUGE_AGGREGATOR_STATE_DIR=/var/lib/streamgauge \
    STREAMGAUGE_AGGREGATOR_METRICS_HOST=0.0.0.0 \
    STREAMGAUGE_AGGREGATOR_METRICS_PORT=9100 \
    STREAMGAUGE_AGGREGATOR_LOG_FORMAT=json
USER 10001:10001
EXPOSE 9100
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD \
    ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9100/healthz', timeout=3)"]
CMD ["aggregator"]

FROM base AS api
COPY --from=build-api /opt/streamgauge /opt/streamgauge
# Beyond localhost the API starts only with a token: STREAMGAUGE_API_API_TOKEN or ..._API_TOKEN_FILE.
ENV STREAMGAUGE_API_STATE_DIR=/var/lib/streamgauge \
    STREAMGAUGE_API_HOST=0.0.0.0 \
    STREAMGAUGE_API_PORT=8000 \
    STREAMGAUGE_API_LOG_FORMAT=json
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD \
    ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
CMD ["api"]

FROM base AS tools
COPY --from=build-tools /opt/streamgauge /opt/streamgauge
USER 10001:10001
# Its commands end by themselves or are watched by who started them.
HEALTHCHECK NONE
CMD ["--help"]
