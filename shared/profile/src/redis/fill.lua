-- Puts sections into one profile, unless a newer one is there or a mark says that they are stale.
-- KEYS[1]: the profile. ARGV[1]: the lease. Then triples: section, position, data.
local key = KEYS[1]
if redis.call('HGET', key, 'e') ~= ARGV[1] then return 0 end
local filled = 0
for i = 2, #ARGV, 3 do
  local section, position = ARGV[i], ARGV[i + 1]
  local mark = redis.call('HGET', key, 'm' .. section)
  local held = redis.call('HGET', key, 'v' .. section)
  if not (mark and position < mark) and not (held and position < held) then
    redis.call('HSET', key, 'v' .. section, position, 'd' .. section, ARGV[i + 2])
    filled = filled + 1
  end
end
return filled
