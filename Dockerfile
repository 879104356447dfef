# A clean machine that runs the demo: if this builds, so does a fresh clone. `docker build --tag synthmix .`, then
# `docker run --rm synthmix` prints the table again.
FROM python:3.12-slim

# pip's own variables, for an index of your own: `docker build --build-arg PIP_EXTRA_INDEX_URL=…`
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV PIP_NO_CACHE_DIR=1

# Whatever the distribution has of these two: nothing that they do reaches an output.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 synthmix \
    && install --directory --owner=1000 --group=1000 /home/synthmix/synthmix

USER 1000
WORKDIR /home/synthmix/synthmix
COPY --chown=1000:1000 . .
RUN make demo

CMD ["make", "demo"]
