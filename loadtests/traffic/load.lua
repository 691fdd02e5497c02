-- wrk script: sends many different bodies in turn, counts failures, prints one JSON line.
-- Arguments: PATH BODIES [KEY], one body a line; KEY is sent as a bearer token. Every server gets the same bodies in the same
-- order, whichever of its connections is free.
local requests, turn = {}, 0

function init(args)
  local headers = { ["Content-Type"] = "application/json" }
  if args[3] then headers["Authorization"] = "Bearer " .. args[3] end
  for body in io.lines(args[2]) do
    requests[#requests + 1] = wrk.format("POST", args[1], headers, body)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, _)
  local errors = summary.errors
  -- errors.status counts every status of 400 and above; no server here answers 1xx or 3xx.
  io.write(string.format(
    "RESULT {\"seconds\":%.6f,\"requests\":%d,\"statuses\":%d,\"sockets\":%d," ..
      "\"timeouts\":%d,\"p50\":%.3f,\"p95\":%.3f,\"p99\":%.3f,\"longest\":%.3f}\n",
    summary.duration / 1e6, summary.requests, errors.status,
    errors.connect + errors.read + errors.write, errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3))
end
