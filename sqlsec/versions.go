package sqlsec

import (
	"fmt"
	"time"
)

// release is a version of SQL Server as PRELOGIN tells it.
type release struct {
	major, minor int
	name         string
	end          time.Time // last day of extended support, the last with security updates for all
}

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

// releases is from Microsoft's lifecycle pages,
// https://learn.microsoft.com/lifecycle/products/?products=sql-server, as of 2026-11-23.
// Extended Security Updates, which are bought for single servers, are not in it.
var releases = []release{
	{17, 0, "SQL Server 2025", day(2036, 1, 6)},
	{16, 0, "SQL Server 2022", day(2033, 1, 11)},
	{15, 0, "SQL Server 2019", day(2030, 1, 8)},
	{14, 0, "SQL Server 2017", day(2027, 10, 12)},
	{13, 0, "SQL Server 2016", day(2026, 7, 14)},
	{12, 0, "SQL Server 2014", day(2024, 7, 9)},
	{11, 0, "SQL Server 2012", day(2022, 7, 12)},
	{10, 50, "SQL Server 2008 R2", day(2019, 7, 9)},
	{10, 0, "SQL Server 2008", day(2019, 7, 9)},
	{9, 0, "SQL Server 2005", day(2016, 4, 12)},
	{8, 0, "SQL Server 2000", day(2013, 4, 9)},
}

// azureBuild is what Azure SQL Database says, whatever runs there; SQL Server 2014 without any
// update says the same.
const azureMajor, azureBuild = 12, 2000

// releaseOf finds the release of a version such as "16.0.4135".
func releaseOf(version string) (r release, build int, known bool) {
	var major, minor int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &build); n != 3 {
		return release{}, 0, false
	}
	for _, r := range releases {
		if r.major == major && r.minor == minor {
			return r, build, true
		}
	}
	return release{major: major, minor: minor}, build, false
}
