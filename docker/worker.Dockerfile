# One worker: a supervisor and its compute processes. On a GPU host build with
# --build-arg TORCH=torch==2.13.0 (the index's CUDA build) and run with --gpus.
FROM python:3.11-slim
ARG TORCH=torch==2.13.0+cpu
WORKDIR /lethe
COPY docker/requirements requirements
RUN pip install --no-cache-dir "$TORCH" \
 && pip install --no-cache-dir -r requirements/web.txt -r requirements/worker.txt -r requirements/tasks.txt
COPY worker worker
RUN useradd --create-home lethe && mkdir /data && chown lethe /data
USER lethe
ENV LETHE_DATA=/data
CMD ["python", "-m", "worker.engine.supervisor"]
