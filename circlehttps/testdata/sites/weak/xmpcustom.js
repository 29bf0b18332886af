var xmpcustom = {
	loginUrl: 'http://brand.example/AUTUMN/Enroll'
}