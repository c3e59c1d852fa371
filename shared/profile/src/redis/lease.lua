-- Names the present incarnation of one profile, and begins one if there is none. An expiry, an eviction or a flush
-- ends it. A section is only put into the incarnation in which its load began, for with the old one its marks went.
-- KEYS[1]: the profile. ARGV[1]: time to live, ms; it bounds the age of everything in the incarnation.
local key = KEYS[1]
if redis.call('HEXISTS', key, 't') == 1 then return '' end
local lease = redis.call('HGET', key, 'e')
if not lease then
  local now = redis.call('TIME')
  lease = now[1] .. '.' .. now[2]
  redis.call('HSET', key, 'e', lease)
  redis.call('PEXPIRE', key, ARGV[1])
end
return lease
