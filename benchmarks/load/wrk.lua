-- What wrk sends, and what it tells afterwards. Arguments: a file with the bytes of one request, and how many are sent at
-- once. The request is made before the round begins; there is no function response(), which would make wrk slower.

local batch

function init(args)
  local file = assert(io.open(args[1], "rb"))
  batch = string.rep(file:read("*a"), tonumber(args[2]))
  file:close()
end

function request()
  return batch
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "result requests=%d us=%d p50=%d p99=%d p999=%d errors=%d refused=%d\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    errors.connect + errors.read + errors.write + errors.timeout, errors.status
  ))
end
