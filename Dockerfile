# One image, one role a container: `docker run cartwake:0.1.0 run collector`. docker-compose.yml starts all of them.
FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/cartwake
WORKDIR /src
COPY requirements/run.txt requirements/run.txt
RUN /opt/cartwake/bin/pip install --require-hashes --only-binary :all: --no-binary http-ece -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY requirements/ requirements/
COPY cartwake/ cartwake/
COPY ingest/ ingest/
COPY streams/ streams/
COPY reminders/ reminders/
COPY sinks/ sinks/
COPY sql/ sql/
COPY console/ console/
COPY local/ local/
# --no-deps: Kafka, ClickHouse and the mailbox are containers of their own, so local.txt is not needed here
RUN /opt/cartwake/bin/pip install --no-deps --no-build-isolation .

FROM python:3.11.14-slim-bookworm
RUN groupadd --gid 10001 cartwake \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/cartwake --create-home --shell /usr/sbin/nologin cartwake
COPY --from=build /opt/cartwake /opt/cartwake
ENV PATH=/opt/cartwake/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CARTWAKE_DATA_DIR=/var/lib/cartwake
USER 10001:10001
WORKDIR /var/lib/cartwake
EXPOSE 8000 8001
ENTRYPOINT ["cartwake"]
CMD ["--help"]
