"""An HTTP server for one embedder, compatible with OpenAI's `/v1/embeddings`, images included.

Built on Starlette and uvicorn, because one route is all it needs. LitServe (0.2.19) brings
FastAPI, pyzmq and its own processes, and its embeddings take `input` but no `messages`; BentoML
builds and deploys whole services. Both batch by a time window that a single query has to wait
for; `mmsearch_app.embedders.batching` does not.
"""
